//! Selectors: the paths that say what an operation of a patch is about (RFC 5261 section 4.1, as
//! far as ISO/IEC 23009-1 section 5.15.3 uses it).

use super::{
    Fault,
    tree::{NodeId, Tree},
};
use crate::{
    limits::{MAX_LINE_LEN, MAX_PREDICATES},
    markup::local,
};

/// What a selector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector<'a> {
    steps: Vec<Step<'a>>,
    pub(super) target: Target<'a>,
}

/// What of the element is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Element,
    Attribute(&'a str),
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step<'a> {
    /// Without prefix; `*` is any.
    name: &'a str,
    predicates: Vec<Predicate<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Predicate<'a> {
    /// From 1.
    Position(u32),
    Attribute {
        name: &'a str,
        value: &'a str,
    },
}

impl<'a> Selector<'a> {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// When it is none of the supported form.
    pub(super) fn new(text: &'a str) -> Result<Self, Fault> {
        let text = text.trim();
        let unsupported = || Fault::BadSelector;
        if text.len() > MAX_LINE_LEN {
            return Err(unsupported());
        }
        let mut rest = text.strip_prefix('/').ok_or_else(unsupported)?;
        let mut steps = Vec::new();
        loop {
            if let Some(attribute) = rest.strip_prefix('@') {
                let target = Target::Attribute(attribute);
                let is_name = is_name(attribute) && !steps.is_empty();
                return is_name
                    .then_some(Self { steps, target })
                    .ok_or_else(unsupported);
            }
            if matches!(rest, "text()" | "text()[1]") && !steps.is_empty() {
                let target = Target::Text;
                return Ok(Self { steps, target });
            }
            let (step, after) = step(rest).ok_or_else(unsupported)?;
            steps.push(step);
            if after.is_empty() {
                let target = Target::Element;
                return Ok(Self { steps, target });
            }
            rest = after.strip_prefix('/').ok_or_else(unsupported)?;
        }
    }

    /// Finds the one element that is meant, or whose attribute or text is. `budget` is the
    /// work that may still be done.
    pub(super) fn find(
        &self,
        tree: &Tree<'_>,
        document: NodeId,
        budget: &mut usize,
    ) -> Result<Option<NodeId>, Fault> {
        let mut candidates = vec![document];
        for step in &self.steps {
            let mut next = Vec::new();
            for parent in candidates {
                step.matching(tree, parent, budget, &mut next)?;
            }
            candidates = next;
        }
        match candidates[..] {
            [] => Ok(None),
            [found] => Ok(Some(found)),
            [..] => Err(Fault::Ambiguous),
        }
    }
}

impl Step<'_> {
    fn matching(
        &self,
        tree: &Tree<'_>,
        parent: NodeId,
        budget: &mut usize,
        out: &mut Vec<NodeId>,
    ) -> Result<(), Fault> {
        let mut counts = vec![0_u32; self.predicates.len()];
        for child in tree.children(parent) {
            spend(budget, VISIT_COST)?;
            let Some(tag) = tree.tag(child) else {
                continue;
            };
            if self.name != "*" && tag.local_name() != self.name {
                continue;
            }
            if !self.predicates.is_empty() {
                spend(budget, tree.tag_text(child).len())?;
            }
            let holds = self
                .predicates
                .iter()
                .zip(&mut counts)
                .all(|(predicate, count)| {
                    *count = count.saturating_add(1);
                    match predicate {
                        Predicate::Position(position) => *count == *position,
                        Predicate::Attribute { name, value } => tag
                            .attributes()
                            .find(|attribute| is_same(attribute.name, name))
                            .is_some_and(|attribute| attribute.text() == *value),
                    }
                });
            if holds {
                out.push(child);
            }
        }
        Ok(())
    }
}

/// Counts work.
pub(super) fn spend(budget: &mut usize, cost: usize) -> Result<(), Fault> {
    *budget = budget.checked_sub(cost).ok_or(Fault::TooLong)?;
    Ok(())
}

/// What it costs to look at an element, in bytes of tags read.
pub(super) const VISIT_COST: usize = 16;

/// Whether a name in a selector names this attribute: prefixes are a document's own business.
pub(super) fn is_same(name: &str, selected: &str) -> bool {
    name == selected
        || name.contains(':') && selected.contains(':') && local(name) == local(selected)
}

/// Splits off a step.
fn step(text: &str) -> Option<(Step<'_>, &str)> {
    let end = text.find(['/', '[']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let name = name.trim();
    let is_axis = name.contains("::");
    let name = local(name);
    if is_axis || name != "*" && !is_name(name) {
        return None;
    }
    let mut predicates = Vec::new();
    while let Some(inside) = rest.strip_prefix('[') {
        let (predicate, after) = predicate(inside.trim_start())?;
        if predicates.len() >= MAX_PREDICATES {
            return None;
        }
        predicates.push(predicate);
        rest = after.trim_start().strip_prefix(']')?;
    }
    Some((Step { name, predicates }, rest))
}

fn predicate(text: &str) -> Option<(Predicate<'_>, &str)> {
    let Some(attribute) = text.strip_prefix('@') else {
        let end = text.find(|c: char| !c.is_ascii_digit())?;
        let (digits, rest) = text.split_at(end);
        let position = digits.parse().ok().filter(|position| *position > 0)?;
        return Some((Predicate::Position(position), rest));
    };
    let (name, rest) = attribute.split_once('=')?;
    let name = name.trim();
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, rest) = rest.get(1..)?.split_once(quote)?;
    is_name(name).then_some((Predicate::Attribute { name, value }, rest))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "<MPD><Period id='1'/><p:Period id=\"2\" x:t='a'><S t='1' d='2'/><S t='2'/>\
        <S t='3' d='2'/></p:Period><Period id='a/]b'/></MPD>";

    fn found(selector: &str) -> Result<Option<String>, Fault> {
        let mut tree = Tree::new(TEXT.as_bytes());
        let document = tree.read(0..TEXT.len()).unwrap();
        let selector = Selector::new(selector)?;
        let found = selector.find(&tree, document, &mut 1_000)?;
        let text = |id| String::from_utf8_lossy(tree.tag_text(id)).into_owned();
        Ok(found.map(text))
    }

    #[test]
    fn elements_are_found_by_name_position_and_attributes() {
        for (selector, expected) in [
            ("/MPD/Period[@id='2']/S[2]", "<S t='2'/>"),
            ("/mpd:MPD/Period[2]/S[@t=\"3\"]", "<S t='3' d='2'/>"),
            ("/MPD/Period[2]/S[@d='2'][2]", "<S t='3' d='2'/>"),
            ("/MPD/Period[2]/S[3][@d='2']/@d", "<S t='3' d='2'/>"),
            ("/MPD/Period[ @id = 'a/]b' ]", "<Period id='a/]b'/>"),
            ("/MPD/*[@y:t='a']/S[1]/text()", "<S t='1' d='2'/>"),
            ("/MPD/Period/S[1]", "<S t='1' d='2'/>"),
        ] {
            assert_eq!(
                found(selector).unwrap().as_deref(),
                Some(expected),
                "{selector}"
            );
        }
        assert_eq!(found("/MPD/Period[4]"), Ok(None));
        assert_eq!(found("/MPD/Period[2]/S[2][@d='2']"), Ok(None));
        assert_eq!(found("/MPD/Period"), Err(Fault::Ambiguous));
    }

    #[test]
    fn other_selectors_are_refused() {
        let long = format!("/MPD/{}", "a".repeat(MAX_LINE_LEN));
        for selector in [
            "",
            "MPD",
            "/",
            "//S",
            "/MPD/",
            "/MPD[",
            "/MPD[0]",
            "/MPD[last()]",
            "/MPD[@a]",
            "/MPD[@a='1]",
            "/MPD[@a='1'",
            "/MPD/@",
            "/@a",
            "/MPD/@a/b",
            "id('x')",
            &long,
            "/MPD/namespace::x",
            "/MPD[99999999999]",
        ] {
            let result = Selector::new(selector);
            assert!(matches!(result, Err(Fault::BadSelector)), "{selector}");
        }
    }

    #[test]
    fn the_search_is_bounded() {
        let mut tree = Tree::new(TEXT.as_bytes());
        let document = tree.read(0..TEXT.len()).unwrap();
        let selector = Selector::new("/MPD/Period[2]/S[2]").unwrap();
        // One root, three periods, three segments of the second; and tags with predicates.
        let enough = 7 * VISIT_COST + TEXT.len();
        assert!(selector.find(&tree, document, &mut enough.clone()).is_ok());
        let result = selector.find(&tree, document, &mut (7 * VISIT_COST - 1));
        assert_eq!(result, Err(Fault::TooLong));
    }
}
