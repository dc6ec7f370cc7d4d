//! MPDs: base URLs, and the references below them that they do not answer for.

mod bases;
mod scan;

use std::{ops::Range, sync::Arc};

use super::{
    Place, RewriteError, RewriteOptions, Rewritten, Warnings,
    edits::Edits,
    url_map::{UrlMap, is_absolute},
};
use crate::{
    error::WarningKind,
    markup::{Quote, escape_into, readable},
    resolve::Base,
};
use bases::{BaseEdit, Pairs, Resolver, Verdict, chain, leads_down, resolve_levels};
use scan::{Level, Reference, Scan, Scope, Use, scan};

pub(super) fn rewrite(
    text: &[u8],
    url: &str,
    options: &RewriteOptions,
    map: UrlMap<'_>,
) -> Result<Rewritten, RewriteError> {
    let readable = readable(text);
    let scan = scan(&readable, options.licences)?;
    let mut rewriter = Rewriter {
        url: Base::new(url, options.resolve),
        place: options.place,
        resolver: Resolver {
            map,
            resolve: options.resolve,
            has_lost_identifiers: false,
        },
        edits: Edits::default(),
        warnings: Warnings::default(),
        needs_implied: false,
    };
    rewriter.run(&scan, url)?;
    Ok(Rewritten {
        edit_count: rewriter.edits.count(),
        text: rewriter.edits.apply(text)?,
        variables: Vec::new(),
        warnings: rewriter.warnings.into_vec(text),
    })
}

struct Rewriter<'a> {
    /// The URL of the MPD.
    url: Base,
    place: Place,
    resolver: Resolver<'a>,
    edits: Edits,
    warnings: Warnings,
    /// Whether anything resolves against the base URL that is implied.
    needs_implied: bool,
}

/// What the references of a level resolve against: the base URLs of the representations in it, or
/// its own if there are none.
#[derive(Default)]
struct Leaves {
    /// Without repetition.
    sets: Vec<Pairs>,
    /// Whether all base URLs are mapped, so that they speak for what leads down from them.
    is_mapped: bool,
    /// Whether some is implied.
    is_implied: bool,
}

impl Rewriter<'_> {
    fn run(&mut self, scan: &Scan<'_>, url: &str) -> Result<(), RewriteError> {
        let Some(document) = self.resolver.document(url, self.place)? else {
            self.warnings.push(0, WarningKind::BadUrl);
            return Ok(());
        };
        let implied = document.moved.as_str().to_owned();
        let (pairs, base_edits) = resolve_levels(
            &scan.levels,
            document,
            self.place,
            &mut self.resolver,
            &mut self.warnings,
        )?;
        self.edit_bases(scan, &pairs, base_edits)?;
        let leaves = leaves(&scan.levels, &pairs);
        for found in &scan.uses {
            match found.level {
                None => self.document_use(found)?,
                Some(level) => {
                    if let Some(leaves) = leaves.get(level) {
                        self.level_use(found, leaves)?;
                    }
                }
            }
        }
        match scan.base_at {
            Some(at) if self.needs_implied => self.insert_base(at, scan.prefix, &implied),
            _ => Ok(()),
        }
    }

    fn edit_bases(
        &mut self,
        scan: &Scan<'_>,
        pairs: &[Pairs],
        base_edits: Vec<BaseEdit>,
    ) -> Result<(), RewriteError> {
        let mut base_edits = base_edits.into_iter().peekable();
        for (index, level) in scan.levels.iter().enumerate() {
            let above = pairs.get(level.parent).filter(|_| index != level.parent);
            let is_implied = above.is_some_and(|above| above.iter().any(|pair| pair.is_implied));
            for (nth, base) in level.bases.iter().enumerate() {
                let edit = base_edits.next_if(|edit| (edit.level, edit.nth) == (index, nth));
                match edit {
                    Some(edit) => self.replace(base, &edit.url)?,
                    None => self.needs_implied |= is_implied && !is_absolute(&base.text),
                }
            }
        }
        Ok(())
    }

    /// A reference that is relative to the place of the MPD.
    fn document_use(&mut self, found: &Use) -> Result<(), RewriteError> {
        let Reference { text, span, .. } = &found.reference;
        let Some(url) = self.resolver.map.join(&self.url, text)? else {
            self.warnings.push(span.start, WarningKind::BadUrl);
            return Ok(());
        };
        let answer = self.resolver.map.ask(&url, found.kind);
        if let Some(answer) = answer.filter(|answer| **answer != *url) {
            return self.replace(&found.reference, answer.trim());
        }
        if self.place == Place::Moved && !is_absolute(text) {
            return self.replace(&found.reference, &url);
        }
        Ok(())
    }

    /// A reference that is relative to base URLs.
    fn level_use(&mut self, found: &Use, leaves: &Leaves) -> Result<(), RewriteError> {
        let Reference { text, span, .. } = &found.reference;
        let verdict = if leaves.is_mapped && leads_down(text) {
            Verdict::Stays
        } else {
            self.resolver.decide(text, found.kind, &leaves.sets)?
        };
        if std::mem::take(&mut self.resolver.has_lost_identifiers) {
            self.warnings.push(span.start, WarningKind::NotRewritten);
        }
        match verdict {
            Verdict::Stays => self.needs_implied |= leaves.is_implied && !is_absolute(text),
            Verdict::Becomes(url) => self.replace(&found.reference, &url)?,
            Verdict::Divides(url) => {
                self.warnings
                    .push(span.start, WarningKind::AlternativesLost);
                self.replace(&found.reference, &url)?;
            }
            Verdict::Splits => {
                self.warnings.push(span.start, WarningKind::NotRewritten);
                self.needs_implied |= leaves.is_implied;
            }
            Verdict::Bad => {
                self.warnings.push(span.start, WarningKind::BadUrl);
                self.needs_implied |= leaves.is_implied;
            }
        }
        Ok(())
    }

    fn replace(&mut self, reference: &Reference, url: &str) -> Result<(), RewriteError> {
        let mut escaped = String::with_capacity(url.len());
        escape_into(&mut escaped, url, reference.quote);
        if let Some(name) = &reference.empty {
            escaped = format!(">{escaped}</{name}>");
        }
        self.edits.replace(reference.span.clone(), escaped)
    }

    fn insert_base(&mut self, at: usize, prefix: &str, url: &str) -> Result<(), RewriteError> {
        let mut text = format!("<{prefix}BaseURL>");
        escape_into(&mut text, url, Quote::None);
        text.push_str(&format!("</{prefix}BaseURL>"));
        self.edits.replace(Range { start: at, end: at }, text)
    }
}

/// The leaves of each level.
fn leaves(levels: &[Level], pairs: &[Pairs]) -> Vec<Leaves> {
    let mut all: Vec<Leaves> = levels.iter().map(|_| Leaves::default()).collect();
    for (index, level) in levels.iter().enumerate() {
        if level.scope != Scope::Representation {
            continue;
        }
        let Some(set) = pairs.get(index) else {
            continue;
        };
        for (around, _) in chain(levels, index).into_iter().flatten() {
            if let Some(leaves) = all.get_mut(around) {
                leaves.add(set);
            }
        }
    }
    for (leaves, own) in all.iter_mut().zip(pairs) {
        if leaves.sets.is_empty() {
            leaves.add(own);
        }
        let mut base_urls = leaves.sets.iter().flat_map(|set| set.iter());
        leaves.is_implied = base_urls.clone().any(|pair| pair.is_implied);
        leaves.is_mapped = base_urls.all(|pair| pair.is_mapped);
    }
    all
}

impl Leaves {
    fn add(&mut self, set: &Pairs) {
        let last = self.sets.last();
        if last.is_none_or(|last| !Arc::ptr_eq(last, set)) {
            self.sets.push(Arc::clone(set));
        }
    }
}

#[cfg(test)]
#[cfg(feature = "url")]
mod tests {
    use super::super::{UrlKind, UrlUse, rewrite};
    use super::*;
    use crate::limits::MAX_BASE_ALTERNATIVES;

    const URL: &str = "https://cdn.example/a/m.mpd?t=1";

    /// Rewrites what is in an MPD; `map` says what becomes of a URL.
    fn rewritten(
        inner: &str,
        map: fn(&UrlUse<'_>) -> Option<String>,
        options: &RewriteOptions,
    ) -> (String, Vec<WarningKind>) {
        let text = format!("<MPD id='&lt;'>{inner}</MPD>");
        let done = rewrite(text.as_bytes(), URL, options, &mut |of| map(of)).unwrap();
        let text = String::from_utf8(done.text).unwrap();
        let inner = text.strip_prefix("<MPD id='&lt;'>").unwrap();
        let inner = inner.strip_suffix("</MPD>").unwrap().to_owned();
        (
            inner,
            done.warnings.iter().map(|warning| warning.kind).collect(),
        )
    }

    fn prefixed(of: &UrlUse<'_>) -> Option<String> {
        Some(of.url.replace("://", "/")).map(|url| format!("http://p/{url}"))
    }

    fn keep(_: &UrlUse<'_>) -> Option<String> {
        None
    }

    fn leaves(of: &UrlUse<'_>) -> Option<String> {
        prefixed(of).filter(|_| of.kind != UrlKind::BaseUrl)
    }

    fn check(inner: &str, map: fn(&UrlUse<'_>) -> Option<String>, expected: &str) {
        let (text, warnings) = rewritten(inner, map, &RewriteOptions::default());
        assert_eq!(text, expected);
        assert_eq!(warnings, []);
    }

    const TEMPLATE: &str = "<ProgramInformation/> <Period><AdaptationSet>\
        <SegmentTemplate media=\"v/$Number$.m4s\" initialization='/i.mp4'/><Representation/>\
        </AdaptationSet></Period>";

    #[test]
    fn an_mpd_without_base_url_gets_one_when_it_moves() {
        let with = |base: &str| {
            TEMPLATE.replace("<Period>", &format!("<BaseURL>{base}</BaseURL><Period>"))
        };
        let expected = with("https://cdn.example/a/");
        check(TEMPLATE, keep, &expected);
        let expected = with("http://p/https/cdn.example/a/");
        let expected = expected.replace("/i.mp4", "http://p/https/cdn.example/i.mp4");
        check(TEMPLATE, prefixed, &expected);
        let options = RewriteOptions {
            place: Place::Same,
            ..RewriteOptions::default()
        };
        assert_eq!(rewritten(TEMPLATE, keep, &options).0, TEMPLATE);
        // Nothing is relative to it once all is mapped.
        let expected = TEMPLATE
            .replace("v/$", "http://p/https/cdn.example/a/v/$")
            .replace("/i.mp4", "http://p/https/cdn.example/i.mp4");
        check(TEMPLATE, leaves, &expected);
    }

    #[test]
    fn a_mapped_base_url_speaks_for_what_leads_down_from_it() {
        let inner = "<BaseURL> https://x.example/b/ </BaseURL><Period><BaseURL>c/</BaseURL>\
            <AdaptationSet><SegmentTemplate media='$Time$' index='../$Time$'/>\
            <Representation/></AdaptationSet></Period>";
        let expected = inner.replace(" https://x.example/b/ ", "http://p/https/x.example/b/");
        let (text, warnings) = rewritten(inner, prefixed, &RewriteOptions::default());
        // Spaces around the URL stay outside of what is replaced.
        assert_eq!(
            text.replace("> http", ">http").replace("/ <", "/<"),
            expected
        );
        assert_eq!(warnings, []);
    }

    #[test]
    fn templates_that_representations_share_are_left_where_no_change_suits_all() {
        let inner = "<BaseURL>https://x.example/</BaseURL><Period><AdaptationSet>\
            <SegmentTemplate media='$Time$'/><Representation><BaseURL>a/</BaseURL></Representation>\
            <Representation><BaseURL>b/</BaseURL></Representation></AdaptationSet></Period>";
        let (text, warnings) = rewritten(inner, leaves, &RewriteOptions::default());
        assert_eq!(text, inner);
        assert_eq!(warnings, [WarningKind::NotRewritten]);
        let expected = inner.replace("https://", "http://p/https/");
        check(inner, prefixed, &expected);
    }

    #[test]
    fn alternatives_are_kept_unless_a_reference_below_has_to_change() {
        let inner = "<BaseURL>https://x.example/</BaseURL><BaseURL>https://y.example/</BaseURL>\
            <Period><AdaptationSet><SegmentTemplate media='$Time$'/><Representation/>\
            </AdaptationSet></Period>";
        check(
            inner,
            prefixed,
            &inner.replace("https://", "http://p/https/"),
        );
        let (text, warnings) = rewritten(inner, leaves, &RewriteOptions::default());
        assert_eq!(
            text,
            inner.replace("'$Time$'", "'http://p/https/x.example/$Time$'")
        );
        assert_eq!(warnings, [WarningKind::AlternativesLost]);
    }

    #[test]
    fn alternatives_are_capped() {
        let warnings = |count: usize| {
            let bases = "<BaseURL>https://x.example/</BaseURL>".repeat(count);
            rewritten(&bases, prefixed, &RewriteOptions::default()).1
        };
        assert_eq!(warnings(MAX_BASE_ALTERNATIVES), []);
        let lost = [WarningKind::AlternativesLost];
        assert_eq!(warnings(MAX_BASE_ALTERNATIVES + 1), lost);
    }

    #[test]
    fn an_answer_that_loses_identifiers_is_passed_over() {
        let map = |of: &UrlUse<'_>| {
            let is_leaf = of.kind != UrlKind::BaseUrl;
            is_leaf.then(|| of.url.replace('$', "%24"))
        };
        let inner = "<Period><AdaptationSet><SegmentTemplate media='https://h/$Time$'/>\
            <Representation/></AdaptationSet></Period>";
        let (text, warnings) = rewritten(inner, map, &RewriteOptions::default());
        assert_eq!(text, inner);
        assert_eq!(warnings, [WarningKind::NotRewritten]);
    }

    #[test]
    fn what_names_other_documents_becomes_absolute_or_mapped() {
        let inner = "<Location>n.mpd</Location><PatchLocation> p?a=1&amp;b </PatchLocation>\
            <Period><ContentProtection><Laurl>/l</Laurl></ContentProtection></Period>\
            <UTCTiming schemeIdUri='urn:mpeg:dash:utc:http-head:2014' value='t  /u'/>\
            <UTCTiming schemeIdUri='urn:mpeg:dash:utc:sntp:2014' value='t  /u'/>";
        let expected = inner
            .replace(">n.mpd", ">https://cdn.example/a/n.mpd")
            .replace(
                "'t  /u'/><UTC",
                "'https://cdn.example/a/t  https://cdn.example/u'/><UTC",
            );
        let (text, warnings) = rewritten(inner, keep, &RewriteOptions::default());
        let patch = "https://cdn.example/a/p?a=1&amp;b";
        let expected = expected
            .replace(" p?a=1&amp;b ", patch)
            .replace("> /", ">/");
        assert_eq!(
            text.replace("> http", ">http").replace("b <", "b<"),
            expected
        );
        assert_eq!(warnings, []);
        let options = RewriteOptions {
            licences: super::super::Licences::Map,
            ..RewriteOptions::default()
        };
        let (text, _) = rewritten(inner, prefixed, &options);
        assert!(
            text.contains("<Laurl>http://p/https/cdn.example/l</Laurl>"),
            "{text}"
        );
    }

    #[test]
    fn answers_are_escaped_for_their_place() {
        let map = |of: &UrlUse<'_>| {
            (of.kind != UrlKind::BaseUrl).then(|| "http://p/?a=1&b='\"<>$Time$".to_owned())
        };
        let inner = "<Period><AdaptationSet><SegmentTemplate media='$Time$'/><Representation/>\
            </AdaptationSet></Period><ContentSteering>s</ContentSteering>";
        let (text, warnings) = rewritten(inner, map, &RewriteOptions::default());
        assert!(
            text.contains("media='http://p/?a=1&amp;b=&apos;\"&lt;>$Time$'"),
            "{text}"
        );
        assert!(
            text.contains(">http://p/?a=1&amp;b='\"&lt;&gt;$Time$</"),
            "{text}"
        );
        assert_eq!(warnings, []);
    }
}
