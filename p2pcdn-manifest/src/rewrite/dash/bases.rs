//! Base URLs of an MPD, level by level: what each was and what it becomes.

use std::sync::Arc;

use super::{
    super::{
        Place, RewriteError, UrlKind, Warnings,
        url_map::{UrlMap, is_absolute},
    },
    scan::{Level, Reference, Scope},
};
use crate::{
    error::WarningKind,
    limits::MAX_BASE_ALTERNATIVES,
    resolve::{Base, Resolve},
};

/// One URL that references are relative to.
pub(super) struct Pair {
    /// In the original.
    pub(super) origin: Base,
    /// In the rewritten MPD.
    pub(super) moved: Base,
    /// Whether the map gave the latter: it speaks for what is below.
    pub(super) is_mapped: bool,
    /// Whether it is that of the MPD as a whole, and not written there.
    pub(super) is_implied: bool,
}

/// The alternatives that references of a level are relative to.
pub(super) type Pairs = Arc<[Arc<Pair>]>;

/// What a reference is to become.
pub(super) enum Verdict {
    Stays,
    Becomes(String),
    /// It becomes this for the first of the alternatives, and no change suits all.
    Divides(String),
    /// Representations that share it need different changes.
    Splits,
    /// It cannot be resolved.
    Bad,
}

/// The map and what it is asked with.
pub(super) struct Resolver<'a> {
    pub(super) map: UrlMap<'a>,
    pub(super) resolve: Resolve,
    /// Whether an answer of the map was passed over because identifiers of a template were lost.
    pub(super) has_lost_identifiers: bool,
}

impl Resolver<'_> {
    /// The base URL of the MPD as a whole.
    pub(super) fn document(
        &mut self,
        url: &str,
        place: Place,
    ) -> Result<Option<Pair>, RewriteError> {
        let origin = Base::new(url, self.resolve);
        if place == Place::Same {
            return Ok(Some(Pair {
                moved: Base::new(url, self.resolve),
                origin,
                is_mapped: false,
                is_implied: false,
            }));
        }
        let Some(folder) = self.map.join(&origin, "x")? else {
            return Ok(None);
        };
        let folder = folder.strip_suffix('x').unwrap_or(&folder);
        let answer = self.map.ask(folder, UrlKind::BaseUrl);
        let moved = answer.as_deref().map_or(folder, str::trim);
        Ok(Some(Pair {
            moved: Base::new(moved, self.resolve),
            origin,
            is_mapped: answer.is_some(),
            is_implied: true,
        }))
    }

    /// Decides about one reference below sets of alternatives, each set for another representation.
    pub(super) fn decide(
        &mut self,
        reference: &str,
        kind: UrlKind,
        sets: &[Pairs],
    ) -> Result<Verdict, RewriteError> {
        let leads_down = leads_down(reference);
        let mut choice: Option<String> = None;
        let (mut differs, mut divides, mut splits) = (false, false, false);
        for pairs in sets {
            for (nth, pair) in pairs.iter().enumerate() {
                self.map.spend(size_of::<Pair>())?;
                let Some(wanted) = self.wanted(reference, kind, pair, leads_down)? else {
                    return Ok(Verdict::Bad);
                };
                let now = self.absolute(&pair.moved, reference)?;
                differs |= now.as_deref() != Some(&*wanted);
                if choice.as_ref().is_some_and(|choice| *choice != wanted) {
                    divides = true;
                    splits |= nth == 0;
                }
                choice.get_or_insert(wanted);
            }
        }
        Ok(match choice {
            Some(_) if splits && differs => Verdict::Splits,
            Some(url) if divides && differs => Verdict::Divides(url),
            Some(url) if differs => Verdict::Becomes(url),
            _ => Verdict::Stays,
        })
    }

    /// What a reference below a base URL ought to resolve to.
    fn wanted(
        &mut self,
        reference: &str,
        kind: UrlKind,
        pair: &Pair,
        leads_down: bool,
    ) -> Result<Option<String>, RewriteError> {
        if leads_down && pair.is_mapped {
            return self.absolute(&pair.moved, reference);
        }
        let Some(url) = self.absolute(&pair.origin, reference)? else {
            return Ok(None);
        };
        let answer = self.map.ask(&url, kind);
        let is_whole = answer
            .as_ref()
            .is_none_or(|answer| identifiers(answer).eq(identifiers(&url)));
        self.has_lost_identifiers |= !is_whole;
        let answer = answer.filter(|_| is_whole);
        Ok(Some(answer.map_or(url, |answer| answer.trim().to_owned())))
    }

    /// The absolute URL of a reference. What holds identifiers of a template stays as written,
    /// since a template is resolved after they are replaced.
    pub(super) fn absolute(
        &mut self,
        base: &Base,
        reference: &str,
    ) -> Result<Option<String>, RewriteError> {
        let Some(identifier) = reference.find('$') else {
            return Ok(self.map.join(base, reference)?.map(|url| url.to_string()));
        };
        let head = reference.get(..identifier).unwrap_or_default();
        let cut = if head.contains('?') {
            identifier
        } else {
            head.rfind('/').map_or(0, |slash| slash + 1)
        };
        let (head, tail) = reference.split_at(cut);
        let Some(start) = self
            .map
            .join(base, if head.is_empty() { "x" } else { head })?
        else {
            // An identifier in the host, say.
            return Ok(is_absolute(reference).then(|| reference.to_owned()));
        };
        self.map.spend(tail.len())?;
        let start = if head.is_empty() {
            start.strip_suffix('x').unwrap_or(&start)
        } else {
            &start
        };
        Ok(Some([start, tail].concat()))
    }
}

/// Resolves the base URLs of all levels; gives the alternatives of each level, and the edits.
pub(super) fn resolve_levels(
    levels: &[Level],
    document: Pair,
    place: Place,
    resolver: &mut Resolver<'_>,
    warnings: &mut Warnings,
) -> Result<(Vec<Pairs>, Vec<BaseEdit>), RewriteError> {
    let document: Pairs = [Arc::new(document)].into();
    let used_whole = used_whole(levels);
    let mut resolved: Vec<Pairs> = Vec::with_capacity(levels.len());
    let mut edits = Vec::new();
    for (index, level) in levels.iter().enumerate() {
        let above = resolved.get(level.parent).unwrap_or(&document);
        let above = Arc::clone(above);
        if level.bases.is_empty() {
            resolved.push(above);
            continue;
        }
        let is_whole = used_whole.get(index).copied().unwrap_or_default();
        let kind = if is_whole {
            UrlKind::Representation
        } else {
            UrlKind::BaseUrl
        };
        let mut pairs = Vec::new();
        for (nth, base) in level.bases.iter().enumerate() {
            let at = base.span.start;
            // Nothing that is relative to the place of an MPD stays so when that moves.
            let moves = index == 0 && place == Place::Moved && !is_absolute(&base.text);
            let verdict = if moves {
                resolver.against_document(base, kind, &document)?
            } else {
                resolver.decide(&base.text, kind, std::slice::from_ref(&above))?
            };
            let edit = match verdict {
                Verdict::Stays => None,
                Verdict::Becomes(url) => Some(url),
                Verdict::Divides(url) => {
                    warnings.push(at, WarningKind::AlternativesLost);
                    Some(url)
                }
                Verdict::Bad | Verdict::Splits => {
                    warnings.push(at, WarningKind::BadUrl);
                    continue;
                }
            };
            for pair in above.iter() {
                if pairs.len() >= MAX_BASE_ALTERNATIVES {
                    warnings.push(at, WarningKind::AlternativesLost);
                    break;
                }
                if let Some(below) = resolver.below(pair, base, edit.as_deref())? {
                    pairs.push(Arc::new(below));
                }
                if edit.is_some() || is_absolute(&base.text) {
                    break;
                }
            }
            if let Some(url) = edit {
                edits.push(BaseEdit {
                    level: index,
                    nth,
                    url,
                });
            }
        }
        resolved.push(if pairs.is_empty() {
            above
        } else {
            pairs.into()
        });
    }
    Ok((resolved, edits))
}

/// A `BaseURL` that changes.
pub(super) struct BaseEdit {
    pub(super) level: usize,
    pub(super) nth: usize,
    pub(super) url: String,
}

impl Resolver<'_> {
    /// Decides about a relative `BaseURL` of the MPD itself, when that moves.
    fn against_document(
        &mut self,
        base: &Reference,
        kind: UrlKind,
        document: &Pairs,
    ) -> Result<Verdict, RewriteError> {
        let Some(pair) = document.first() else {
            return Ok(Verdict::Bad);
        };
        let Some(url) = self.map.join(&pair.origin, &base.text)? else {
            return Ok(Verdict::Bad);
        };
        let answer = self.map.ask(&url, kind);
        Ok(Verdict::Becomes(answer.map_or_else(
            || url.to_string(),
            |answer| answer.trim().to_owned(),
        )))
    }

    /// The base URL that a `BaseURL` makes of one above it.
    fn below(
        &mut self,
        above: &Pair,
        base: &Reference,
        edit: Option<&str>,
    ) -> Result<Option<Pair>, RewriteError> {
        let Some(origin) = self.map.join(&above.origin, &base.text)? else {
            return Ok(None);
        };
        let moved = match edit {
            Some(url) => Some(Arc::from(url)),
            None => self.map.join(&above.moved, &base.text)?,
        };
        let Some(moved) = moved else {
            return Ok(None);
        };
        let is_mapped = *moved != *origin || above.is_mapped && leads_down(&base.text);
        Ok(Some(Pair {
            origin: Base::new(&origin, self.resolve),
            moved: Base::new(&moved, self.resolve),
            is_mapped,
            is_implied: false,
        }))
    }
}

/// For each level, whether its base URLs are themselves resources: some representation that says
/// nowhere else where its bytes are has them as its nearest.
fn used_whole(levels: &[Level]) -> Vec<bool> {
    let mut used = vec![false; levels.len()];
    for (index, level) in levels.iter().enumerate() {
        if level.scope != Scope::Representation {
            continue;
        }
        let chain = chain(levels, index);
        if chain.iter().flatten().any(|(_, level)| level.has_segments) {
            continue;
        }
        let mut chain = chain.iter().flatten();
        let nearest = chain.find(|(_, level)| !level.bases.is_empty());
        if let Some(used) = nearest.and_then(|(nearest, _)| used.get_mut(*nearest)) {
            *used = true;
        }
    }
    used
}

/// A level and those around it, outwards.
pub(super) fn chain(levels: &[Level], index: usize) -> [Option<(usize, &Level)>; 4] {
    let mut chain = [None; 4];
    let mut at = index;
    for slot in &mut chain {
        let Some(level) = levels.get(at) else {
            break;
        };
        *slot = Some((at, level));
        if at == level.parent {
            break;
        }
        at = level.parent;
    }
    chain
}

/// Whether a reference resolves to something below its base, whatever that is: it has neither
/// scheme nor host, and no step up.
pub(super) fn leads_down(reference: &str) -> bool {
    let path_end = reference.find(['?', '#']).unwrap_or(reference.len());
    let path = reference.get(..path_end).unwrap_or_default();
    !path.is_empty()
        && !is_absolute(reference)
        && !path.starts_with(['/', '\\'])
        && path.split(['/', '\\']).all(|step| !is_dots(step))
        && !reference.starts_with(|c: char| c <= ' ')
        && !reference.contains(['\t', '\n', '\r'])
}

/// What stands between pairs of dollar signs.
fn identifiers(template: &str) -> impl Iterator<Item = &str> {
    template.split('$').skip(1).step_by(2)
}

/// Whether a step of a path is `..` in any of its spellings. One that is `.` stays.
fn is_dots(step: &str) -> bool {
    let step = step.to_ascii_lowercase().replace("%2e", ".");
    step == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_lead_down_are_told_from_others() {
        for down in [
            "a",
            "a/b?c=../d",
            "./a",
            "a/./b",
            "$Number$.m4s",
            "..a/b..",
            "./a:b",
        ] {
            assert!(leads_down(down), "{down}");
        }
        for other in [
            "", "?a", "#a", "/a", "//h/a", "..", "../a", "a/..", "a/../b", "%2E./a", "\\a", "a:/",
        ] {
            assert!(!leads_down(other), "{other}");
        }
    }
}
