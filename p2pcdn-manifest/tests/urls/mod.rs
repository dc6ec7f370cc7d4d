//! Readers of URLs in manifests, as plain as can be: line by line, and a tree of elements.

use url::Url;

/// A URL that a player would ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) url: String,
    /// Whether it is only what others are relative to.
    pub(crate) is_base: bool,
}

/// In normal form, as far as there is one.
pub(crate) fn normal(url: &str) -> String {
    Url::parse(url.trim()).map_or_else(|_| url.to_owned(), String::from)
}

/// A URL up to the last slash of its path.
pub(crate) fn folder(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let len = path.rfind('/').map_or(0, |slash| slash + 1);
    path.get(..len).unwrap_or_default()
}

/// Every URL in a manifest, absolute, in the order of the text.
pub(crate) fn found_in(text: &[u8], url: &str) -> Vec<Found> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('#') {
        hls(text, url)
    } else {
        dash(text, url)
    }
}

fn join(base: &str, reference: &str) -> Option<String> {
    Some(Url::parse(base).ok()?.join(reference).ok()?.to_string())
}

fn hls(text: &str, url: &str) -> Vec<Found> {
    let mut variables = vec![];
    let mut found = Vec::new();
    for line in text
        .split('\n')
        .map(|line| line.trim_matches([' ', '\t', '\r', '\x0c']))
    {
        if let Some(definition) = line.strip_prefix("#EXT-X-DEFINE:") {
            variables.extend(definition_of(definition, url));
            continue;
        }
        let mut references: Vec<&str> = Vec::new();
        if !line.starts_with('#') {
            references.push(line);
        } else if let Some((tag, list)) = line.split_once(':') {
            const TAGS: [&str; 12] = [
                "MEDIA",
                "I-FRAME-STREAM-INF",
                "IMAGE-STREAM-INF",
                "MAP",
                "KEY",
                "SESSION-KEY",
                "SESSION-DATA",
                "PART",
                "PRELOAD-HINT",
                "RENDITION-REPORT",
                "CONTENT-STEERING",
                "DATERANGE",
            ];
            if TAGS
                .iter()
                .any(|name| tag.strip_prefix("#EXT-X-") == Some(name))
            {
                let names: &[&str] = match tag {
                    "#EXT-X-CONTENT-STEERING" => &["SERVER-URI"],
                    "#EXT-X-DATERANGE" => &["X-ASSET-URI", "X-ASSET-LIST"],
                    _ => &["URI"],
                };
                let of = attributes(list).into_iter();
                references.extend(of.filter(|(name, _)| names.contains(name)).map(|(_, v)| v));
            }
        }
        for reference in references.into_iter().filter(|text| !text.is_empty()) {
            let mut expanded = reference.to_owned();
            for (name, value) in &variables {
                expanded = expanded.replace(&format!("{{${name}}}"), value);
            }
            if let Some(url) = join(url, &expanded) {
                found.push(Found {
                    url,
                    is_base: false,
                });
            }
        }
    }
    found
}

fn definition_of(list: &str, url: &str) -> Option<(String, String)> {
    let list = attributes(list);
    let value = |wanted: &str| {
        let found = list.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    };
    if let Some(name) = value("NAME") {
        return Some((name, value("VALUE")?));
    }
    if let Some(name) = value("IMPORT") {
        return (name == "imported").then(|| (name, "i".to_owned()));
    }
    let name = value("QUERYPARAM")?;
    let url = Url::parse(url).ok()?;
    let (_, value) = url.query_pairs().find(|(key, _)| *key == name)?;
    Some((name, value.into_owned()))
}

/// As hls.js splits them.
fn attributes(list: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = list;
    while let Some(at) = rest.find(['=', ',']) {
        let (name, after) = rest.split_at(at);
        let Some(after) = after.strip_prefix('=') else {
            rest = &after[1..];
            continue;
        };
        let inside = after.trim_start().strip_prefix('"');
        let (value, after) = match inside.map(|inside| (inside, inside.split_once('"'))) {
            Some((_, Some((value, after)))) => (value, after),
            Some((inside, None)) => inside.split_at(inside.find(',').unwrap_or(inside.len())),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.push((name.trim(), value.trim()));
        rest = after.find(',').map_or("", |comma| &after[comma + 1..]);
    }
    found
}

/// Each reference with the first base URL on every level around it; templates as they stand.
fn dash(text: &str, url: &str) -> Vec<Found> {
    let Ok(tree) = roxmltree::Document::parse_with_options(
        text,
        roxmltree::ParsingOptions {
            allow_dtd: true,
            ..roxmltree::ParsingOptions::default()
        },
    ) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for node in tree.descendants().filter(roxmltree::Node::is_element) {
        element(&node, url, &mut found);
    }
    found
}

const LEVELS: [&str; 5] = [
    "MPD",
    "Period",
    "AdaptationSet",
    "EmptyAdaptationSet",
    "Representation",
];
const SEGMENTS: [&str; 3] = ["SegmentBase", "SegmentList", "SegmentTemplate"];

fn element(node: &roxmltree::Node<'_, '_>, url: &str, found: &mut Vec<Found>) {
    let name = node.tag_name().name();
    let parent = node.parent_element();
    let parent_name = parent.map_or("", |parent| parent.tag_name().name());
    let mut push = |reference: &str, base: String, is_base: bool| {
        if let Some(url) = join(&base, reference.trim()) {
            found.push(Found { url, is_base });
        }
    };
    for attribute in node.attributes() {
        let value = attribute.value();
        let of_template = name == "SegmentTemplate" && LEVELS.contains(&parent_name);
        let in_segments = SEGMENTS.contains(&parent_name);
        let is_leaf = match attribute.name() {
            "media" | "index" => of_template || name == "SegmentURL" && in_segments,
            "initialization" | "bitstreamSwitching" => of_template,
            "sourceURL" => in_segments,
            _ => false,
        };
        if is_leaf && !value.trim().is_empty() {
            // What a representation inherits is relative to the representation's base URL.
            for base in bases_of(node, url) {
                push(value, base, false);
            }
        } else if attribute.name() == "href" && attribute.namespace().is_some() {
            push(value, url.to_owned(), false);
        } else if name == "UTCTiming" && attribute.name() == "value" {
            let scheme = node.attribute("schemeIdUri").unwrap_or_default();
            if scheme.contains(":http-") {
                for clock in value.split_whitespace() {
                    push(clock, url.to_owned(), false);
                }
            }
        }
    }
    let said: String = texts(node);
    match name {
        "Location" | "PatchLocation" | "ContentSteering" if !said.trim().is_empty() => {
            push(&said, url.to_owned(), false);
        }
        _ => {}
    }
    let has_base = |level: roxmltree::Node<'_, '_>| {
        let mut children = level.children();
        children.any(|child| child.tag_name().name() == "BaseURL")
    };
    if name == "Representation" && parent_name == "AdaptationSet" {
        // What is relative to no base URL at all is only relative.
        let has_base = node.ancestors().any(has_base);
        let url = if has_base {
            base_of(node, url)
        } else {
            String::new()
        };
        found.push(Found { url, is_base: true });
    }
}

fn texts(node: &roxmltree::Node<'_, '_>) -> String {
    let texts = node.children().filter(roxmltree::Node::is_text);
    texts.filter_map(|text| text.text()).collect()
}

/// The base URLs of the representations in the level around `node`, or of that level.
fn bases_of(node: &roxmltree::Node<'_, '_>, url: &str) -> Vec<String> {
    let Some(level) = node
        .ancestors()
        .find(|a| LEVELS.contains(&a.tag_name().name()))
    else {
        return Vec::new();
    };
    let representations: Vec<String> = level
        .descendants()
        .filter(|inner| inner.tag_name().name() == "Representation")
        .map(|inner| base_of(&inner, url))
        .collect();
    if representations.is_empty() {
        vec![base_of(&level, url)]
    } else {
        representations
    }
}

fn base_of(node: &roxmltree::Node<'_, '_>, url: &str) -> String {
    let mut around: Vec<_> = node
        .ancestors()
        .filter(roxmltree::Node::is_element)
        .collect();
    around.reverse();
    let mut base = url.to_owned();
    for level in around {
        let first = level
            .children()
            .find(|child| child.tag_name().name() == "BaseURL");
        let said = first.map(|first| -> String { texts(&first) });
        if let Some(said) = said {
            base = join(&base, said.trim()).unwrap_or(base);
        }
    }
    base
}
