//! The operations of a patch (RFC 5261 sections 4.3 to 4.5).

use memchr::memmem;

use super::{
    Fault,
    selector::{Selector, Target, VISIT_COST, is_same, spend},
    tree::{NodeId, Position, Tree},
};
use crate::{
    limits::{MAX_ATTRIBUTES, MAX_REWRITTEN_LEN},
    markup::{Quote, Tag, TokenKind, Tokens, escape_into},
};

/// An MPD while a patch is applied to it.
pub(super) struct Patcher<'a> {
    pub(super) tree: Tree<'a>,
    /// What holds the MPD.
    pub(super) document: NodeId,
    /// The root of the patch.
    pub(super) patch: NodeId,
    /// Work that may still be done.
    pub(super) budget: usize,
}

impl Patcher<'_> {
    /// What an operation is about, as it says.
    pub(super) fn selector(&self, operation: NodeId) -> String {
        self.attribute(operation, "sel").unwrap_or_default()
    }

    /// Makes one operation.
    pub(super) fn apply(&mut self, operation: NodeId) -> Result<(), Fault> {
        spend(&mut self.budget, self.tree.tag_text(operation).len())?;
        let name = self
            .tree
            .tag(operation)
            .map(|tag| tag.local_name().to_owned());
        let text = self.selector(operation);
        let selector = Selector::new(&text)?;
        let found = selector.find(&self.tree, self.document, &mut self.budget)?;
        let element = found.ok_or(Fault::NotFound)?;
        match (name.as_deref(), &selector.target) {
            (Some("add"), Target::Element) => self.add(operation, element),
            (Some("replace"), Target::Element) => self.replace(operation, element),
            (Some("replace"), Target::Attribute(name)) => {
                let value = self.said(operation)?;
                let place = self.place_of(element, name)?.ok_or(Fault::NotFound)?;
                self.write_value(element, place, &value);
                Ok(())
            }
            (Some("replace"), Target::Text) => {
                self.remove_text(element)?;
                self.tree.open_up(element);
                for piece in self.pieces(operation)? {
                    self.tree.unlink(piece);
                    self.tree.link(piece, element, Position::Last);
                }
                Ok(())
            }
            (Some("remove"), Target::Element) => self.remove(operation, element),
            (Some("remove"), Target::Attribute(name)) => {
                let place = self.place_of(element, name)?.ok_or(Fault::NotFound)?;
                let mut tag = self.tree.tag_text(element).to_vec();
                tag.drain(place.whole);
                self.tree.write_tag(element, tag);
                Ok(())
            }
            (Some("remove"), Target::Text) => self.remove_text(element),
            _ => Err(Fault::BadOperation),
        }
    }

    fn add(&mut self, operation: NodeId, element: NodeId) -> Result<(), Fault> {
        if let Some(kind) = self.attribute(operation, "type") {
            let value = self.said(operation)?;
            let name = match (kind.strip_prefix('@'), kind.strip_prefix("namespace::")) {
                (Some(name), _) => name.to_owned(),
                (None, Some(prefix)) => ["xmlns:", prefix].concat(),
                (None, None) => return Err(Fault::BadOperation),
            };
            return self.set_attribute(element, &name, &value);
        }
        let position = match self.attribute(operation, "pos").as_deref() {
            None => Position::Last,
            Some("prepend") => Position::First,
            Some("before") => Position::Before,
            Some("after") => Position::After,
            Some(_) => return Err(Fault::BadOperation),
        };
        let is_beside = matches!(position, Position::Before | Position::After);
        if is_beside && self.tree.parent(element) == Some(self.document) {
            return Err(Fault::BadOperation);
        }
        let content = self.content(operation);
        let parent = if is_beside {
            self.tree.parent(element)
        } else {
            self.tree.open_up(element);
            Some(element)
        };
        let mut before: Option<NodeId> = None;
        for node in content {
            self.declare_prefixes(node, operation, parent)?;
            self.tree.unlink(node);
            match before {
                None => self.tree.link(node, element, position),
                Some(before) => self.tree.link(node, before, Position::After),
            }
            before = Some(node);
        }
        Ok(())
    }

    fn replace(&mut self, operation: NodeId, element: NodeId) -> Result<(), Fault> {
        let mut elements = self.tree.elements(operation);
        let new = elements.next().filter(|_| elements.next().is_none());
        drop(elements);
        let new = new.ok_or(Fault::BadOperation)?;
        self.declare_prefixes(new, operation, self.tree.parent(element))?;
        self.tree.unlink(new);
        self.tree.link(new, element, Position::Before);
        self.tree.unlink(element);
        Ok(())
    }

    fn remove(&mut self, operation: NodeId, element: NodeId) -> Result<(), Fault> {
        if self.tree.parent(element) == Some(self.document) {
            return Err(Fault::BadOperation);
        }
        let sides: &[Position] = match self.attribute(operation, "ws").as_deref() {
            None => &[],
            Some("before") => &[Position::Before],
            Some("after") => &[Position::After],
            Some("both") => &[Position::Before, Position::After],
            Some(_) => return Err(Fault::BadOperation),
        };
        for side in sides {
            let beside = self.tree.neighbour(element, *side);
            if let Some(blank) = beside.filter(|beside| self.is_blank(*beside)) {
                self.tree.unlink(blank);
            }
        }
        self.tree.unlink(element);
        Ok(())
    }

    fn remove_text(&mut self, element: NodeId) -> Result<(), Fault> {
        for piece in self.pieces(element)? {
            self.tree.unlink(piece);
        }
        Ok(())
    }

    /// What is in an element beside elements.
    fn pieces(&mut self, element: NodeId) -> Result<Vec<NodeId>, Fault> {
        let mut pieces = Vec::new();
        for id in self.tree.children(element) {
            spend(&mut self.budget, VISIT_COST)?;
            if !self.tree.is_element(id) {
                pieces.push(id);
            }
        }
        Ok(pieces)
    }

    /// What is in an operation, without the blanks that only lay it out.
    fn content(&self, operation: NodeId) -> Vec<NodeId> {
        let mut content: Vec<NodeId> = self.tree.children(operation).collect();
        if content.iter().any(|id| self.tree.is_element(*id)) {
            while content.last().is_some_and(|id| self.is_blank(*id)) {
                content.pop();
            }
            let blanks = content.iter().take_while(|id| self.is_blank(**id)).count();
            content.drain(..blanks);
        }
        content
    }

    fn is_blank(&self, id: NodeId) -> bool {
        !self.tree.is_element(id) && self.tree.tag_text(id).trim_ascii().is_empty()
    }

    /// The text in an operation, as it is meant.
    fn said(&mut self, operation: NodeId) -> Result<String, Fault> {
        let mut said = String::new();
        for piece in self.pieces(operation)? {
            let mut tokens = Tokens::new(self.tree.tag_text(piece));
            while let Ok(Some(token)) = tokens.next_token() {
                if let TokenKind::Text(text) = token.kind {
                    said.push_str(&text);
                }
            }
        }
        Ok(said.trim().to_owned())
    }

    fn attribute(&self, element: NodeId, name: &str) -> Option<String> {
        let value = self.tree.tag(element)?.value(name)?;
        Some(value.trim().to_owned())
    }

    fn place_of(&mut self, element: NodeId, name: &str) -> Result<Option<Place>, Fault> {
        spend(&mut self.budget, self.tree.tag_text(element).len())?;
        let tag = self.tree.tag(element);
        Ok(tag.and_then(|tag| Place::of(&tag, name)))
    }

    fn write_value(&mut self, element: NodeId, place: Place, value: &str) {
        let mut escaped = String::new();
        escape_into(&mut escaped, value, place.quote);
        let mut tag = self.tree.tag_text(element).to_vec();
        tag.splice(place.value, escaped.into_bytes());
        self.tree.write_tag(element, tag);
    }

    /// Gives an element an attribute, or the attribute another value.
    fn set_attribute(&mut self, element: NodeId, name: &str, value: &str) -> Result<(), Fault> {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(Fault::BadOperation);
        }
        if let Some(place) = self.place_of(element, name)? {
            self.write_value(element, place, value);
            return Ok(());
        }
        let mut attribute = format!(" {name}=\"");
        escape_into(&mut attribute, value, Quote::Double);
        attribute.push('"');
        let mut tag = self.tree.tag_text(element).to_vec();
        let body = tag.strip_suffix(b">").unwrap_or(&tag);
        let body = body.strip_suffix(b"/").unwrap_or(body);
        let at = body.trim_ascii_end().len();
        tag.splice(at..at, attribute.into_bytes());
        self.tree.write_tag(element, tag);
        Ok(())
    }

    /// Declares the prefixes that a node has from the patch and would not have at its new place.
    fn declare_prefixes(
        &mut self,
        node: NodeId,
        operation: NodeId,
        parent: Option<NodeId>,
    ) -> Result<(), Fault> {
        if !self.tree.is_element(node) {
            return Ok(());
        }
        let mut prefixes = Vec::new();
        for declaring in [operation, self.patch] {
            let tag = self.tree.tag(declaring);
            let attributes = tag.iter().flat_map(Tag::attributes).take(MAX_ATTRIBUTES);
            for attribute in attributes {
                if let Some(prefix) = attribute.name.strip_prefix("xmlns:") {
                    prefixes.push((prefix.to_owned(), attribute.text().into_owned()));
                }
            }
        }
        if prefixes.is_empty() {
            return Ok(());
        }
        let text = self.tree.write(node, MAX_REWRITTEN_LEN)?;
        for (prefix, namespace) in prefixes {
            spend(&mut self.budget, text.len())?;
            let used = [&prefix, ":"].concat();
            if memmem::find(&text, used.as_bytes()).is_none() {
                continue;
            }
            let name = ["xmlns:", &prefix].concat();
            if !self.is_declared(Some(node), &name)? && !self.is_declared(parent, &name)? {
                self.set_attribute(node, &name, &namespace)?;
            }
        }
        Ok(())
    }

    /// Whether an element or one around it in the MPD declares a namespace; for what is still in
    /// the patch, whether it does itself.
    fn is_declared(&mut self, element: Option<NodeId>, name: &str) -> Result<bool, Fault> {
        let mut at = element;
        while let Some(element) = at {
            spend(&mut self.budget, self.tree.tag_text(element).len())?;
            let tag = self.tree.tag(element);
            if tag.is_some_and(|tag| tag.value(name).is_some()) {
                return Ok(true);
            }
            at = self.tree.parent(element);
            // What the patch declares is left behind.
            if at.is_some_and(|at| self.tree.parent(at) == Some(self.patch)) {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

/// Where an attribute stands in its tag.
struct Place {
    value: std::ops::Range<usize>,
    whole: std::ops::Range<usize>,
    quote: Quote,
}

impl Place {
    fn of(tag: &Tag<'_>, name: &str) -> Option<Self> {
        let mut attributes = tag.attributes();
        let found = attributes.find(|attribute| is_same(attribute.name, name))?;
        Some(Self {
            value: found.value,
            whole: found.whole,
            quote: found.quote,
        })
    }
}
