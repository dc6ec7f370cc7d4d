//! The elements of an MPD and of its patch as one arena of places in one text: a change relinks
//! places, and only start tags are ever written anew.

use std::ops::Range;

use super::Fault;
use crate::{
    limits::{MAX_XML_DEPTH, MAX_XML_NODES},
    markup::{Tag, TokenKind, Tokens, readable},
};

/// An element, or a piece of text, comment or the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u32);

#[derive(Debug)]
struct Node {
    /// The start tag of an element, else all of it.
    open: Range<usize>,
    /// The end tag; empty where there is none.
    close: Range<usize>,
    /// A start tag that was changed, and the end tag that goes with it if that is new.
    written: Option<Box<Written>>,
    is_element: bool,
    parent: Option<NodeId>,
    previous: Option<NodeId>,
    next: Option<NodeId>,
    first: Option<NodeId>,
    last: Option<NodeId>,
}

#[derive(Debug, Default)]
struct Written {
    open: Vec<u8>,
    close: Option<Vec<u8>>,
}

/// Documents as links between places of `text`.
pub(super) struct Tree<'a> {
    text: &'a [u8],
    nodes: Vec<Node>,
}

/// Where something is put, seen from an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Before,
    After,
    First,
    Last,
}

impl<'a> Tree<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let nodes = Vec::new();
        Self { text, nodes }
    }

    /// Reads one document that stands in a part of the text; gives a node that holds all of it.
    pub(super) fn read(&mut self, part: Range<usize>) -> Result<NodeId, Fault> {
        let offset = part.start;
        let text = self.text.get(part).unwrap_or_default();
        let document = self.push(offset..offset, false)?;
        let mut open = document;
        let mut depth = 0_usize;
        let readable = readable(text);
        let mut tokens = Tokens::new(&readable);
        if text.starts_with(b"\xef\xbb\xbf") {
            let mark = self.push(offset..offset + 3, false)?;
            self.link(mark, open, Position::Last);
        }
        loop {
            let token = tokens.next_token();
            let token = token?;
            let Some(token) = token else {
                return Ok(document);
            };
            let span = token.span.start + offset..token.span.end + offset;
            match token.kind {
                TokenKind::End => {
                    let parent = self.node(open).and_then(|node| node.parent);
                    if let Some(node) = self.node_mut(open) {
                        node.close = span;
                    }
                    open = parent.unwrap_or(document);
                    depth = depth.saturating_sub(1);
                }
                TokenKind::Start(_) => {
                    depth += 1;
                    if depth > MAX_XML_DEPTH {
                        return Err(Fault::TooLong);
                    }
                    let element = self.push(span, true)?;
                    self.link(element, open, Position::Last);
                    open = element;
                }
                TokenKind::Empty(_) => {
                    let element = self.push(span, true)?;
                    self.link(element, open, Position::Last);
                }
                TokenKind::Text(_) | TokenKind::Other => {
                    let piece = self.push(span, false)?;
                    self.link(piece, open, Position::Last);
                }
            }
        }
    }

    fn push(&mut self, open: Range<usize>, is_element: bool) -> Result<NodeId, Fault> {
        if self.nodes.len() >= MAX_XML_NODES {
            return Err(Fault::TooLong);
        }
        let id = u32::try_from(self.nodes.len()).map_err(|_| Fault::TooLong)?;
        self.nodes.push(Node {
            close: open.end..open.end,
            open,
            written: None,
            is_element,
            parent: None,
            previous: None,
            next: None,
            first: None,
            last: None,
        });
        Ok(NodeId(id))
    }

    /// Puts a node that is nowhere at a place.
    pub(super) fn link(&mut self, node: NodeId, anchor: NodeId, position: Position) {
        let of = |tree: &Self, link: fn(&Node) -> Option<NodeId>| tree.node(anchor).and_then(link);
        let (parent, previous, next) = match position {
            Position::Before => (
                of(self, |n| n.parent),
                of(self, |n| n.previous),
                Some(anchor),
            ),
            Position::After => (of(self, |n| n.parent), Some(anchor), of(self, |n| n.next)),
            Position::First => (Some(anchor), None, of(self, |n| n.first)),
            Position::Last => (Some(anchor), of(self, |n| n.last), None),
        };
        if let Some(node) = self.node_mut(node) {
            (node.parent, node.previous, node.next) = (parent, previous, next);
        }
        self.join(parent, previous, Some(node));
        self.join(parent, Some(node), next);
    }

    /// Takes a node, and all that is in it, out of its place.
    pub(super) fn unlink(&mut self, node: NodeId) {
        let Some(taken) = self.node_mut(node) else {
            return;
        };
        let (previous, next) = (taken.previous.take(), taken.next.take());
        let parent = taken.parent.take();
        self.join(parent, previous, next);
    }

    /// Makes two nodes neighbours, or ends of their parent's list.
    fn join(&mut self, parent: Option<NodeId>, left: Option<NodeId>, right: Option<NodeId>) {
        match left.and_then(|left| self.node_mut(left)) {
            Some(left) => left.next = right,
            None => {
                if let Some(parent) = parent.and_then(|parent| self.node_mut(parent)) {
                    parent.first = right;
                }
            }
        }
        match right.and_then(|right| self.node_mut(right)) {
            Some(right) => right.previous = left,
            None => {
                if let Some(parent) = parent.and_then(|parent| self.node_mut(parent)) {
                    parent.last = left;
                }
            }
        }
    }

    /// Writes the start tag of an element anew.
    pub(super) fn write_tag(&mut self, element: NodeId, open: Vec<u8>) {
        if let Some(node) = self.node_mut(element) {
            node.written.get_or_insert_default().open = open;
        }
    }

    /// Gives an element that has none an end tag, so that something can be put into it.
    pub(super) fn open_up(&mut self, element: NodeId) {
        let Some(open) = self.tag_text(element).strip_suffix(b"/>") else {
            return;
        };
        let mut opened = open.trim_ascii_end().to_vec();
        opened.push(b'>');
        let name = self.tag(element).map_or("", |tag| tag.name());
        let close = ["</", name, ">"].concat().into_bytes();
        self.write_tag(element, opened);
        let node = self.node_mut(element);
        if let Some(written) = node.and_then(|node| node.written.as_mut()) {
            written.close = Some(close);
        }
    }

    pub(super) fn children(&self, parent: NodeId) -> impl Iterator<Item = NodeId> {
        let first = self.node(parent).and_then(|node| node.first);
        std::iter::successors(first, |id| self.node(*id).and_then(|node| node.next))
    }

    pub(super) fn elements(&self, parent: NodeId) -> impl Iterator<Item = NodeId> {
        self.children(parent).filter(|id| self.is_element(*id))
    }

    pub(super) fn is_element(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.is_element)
    }

    pub(super) fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.node(id)?.parent
    }

    /// The neighbour before or after.
    pub(super) fn neighbour(&self, id: NodeId, position: Position) -> Option<NodeId> {
        let node = self.node(id)?;
        match position {
            Position::Before => node.previous,
            Position::After => node.next,
            Position::First => node.first,
            Position::Last => node.last,
        }
    }

    /// The start tag of an element as it is now.
    pub(super) fn tag(&self, element: NodeId) -> Option<Tag<'_>> {
        self.is_element(element)
            .then(|| Tag::of(self.tag_text(element)))
    }

    /// The bytes of a start tag as it is now, or of a piece.
    pub(super) fn tag_text(&self, id: NodeId) -> &[u8] {
        let Some(node) = self.node(id) else {
            return &[];
        };
        let original = self.text.get(node.open.clone()).unwrap_or_default();
        node.written.as_ref().map_or(original, |tag| &tag.open)
    }

    /// The text of the document that a node holds, of at most `max_len` bytes.
    pub(super) fn write(&self, document: NodeId, max_len: usize) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        let mut at = Some(document);
        let mut is_closing = false;
        while let Some(id) = at {
            let Some(node) = self.node(id) else {
                break;
            };
            let piece = if is_closing {
                self.close_text(node)
            } else {
                self.tag_text(id)
            };
            if out.len().saturating_add(piece.len()) > max_len {
                return Err(Fault::TooLong);
            }
            out.extend_from_slice(piece);
            let inner = node.first.filter(|_| !is_closing);
            if !is_closing && inner.is_none() {
                is_closing = true;
                continue;
            }
            if inner.is_some() {
                at = inner;
                continue;
            }
            if id == document {
                break;
            }
            is_closing = node.next.is_none();
            at = node.next.or(node.parent);
        }
        Ok(out)
    }

    fn close_text(&self, node: &'a Node) -> &'a [u8] {
        let original = self.text.get(node.close.clone()).unwrap_or_default();
        let written = node.written.as_ref().and_then(|tag| tag.close.as_deref());
        written.unwrap_or(original)
    }

    fn node(&self, NodeId(id): NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    fn node_mut(&mut self, NodeId(id): NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(id).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_not_changed_is_written_as_it_was() {
        let text = b"\xef\xbb\xbf<?xml version='1.0'?>\r\n<a  b='1' ><!-- c --><d/>\xff&amp;<![CDATA[x]]><e></e ></a>\n";
        let mut tree = Tree::new(text);
        let document = tree.read(0..text.len()).unwrap();
        assert_eq!(tree.write(document, text.len()).unwrap(), text);
        let short = tree.write(document, text.len() - 1);
        assert_eq!(short, Err(Fault::TooLong));
    }

    #[test]
    fn nodes_can_be_moved_about() {
        let text = b"<a><b/><c/><d>x</d></a>";
        let mut tree = Tree::new(text);
        let document = tree.read(0..text.len()).unwrap();
        let root = tree.elements(document).next().unwrap();
        let all: Vec<NodeId> = tree.elements(root).collect();
        let [b, c, d] = all[..] else { panic!("three") };
        tree.unlink(c);
        tree.link(c, b, Position::Before);
        tree.unlink(b);
        tree.open_up(c);
        tree.link(b, c, Position::First);
        tree.unlink(d);
        tree.link(d, c, Position::After);
        let written = tree.write(document, 100).unwrap();
        assert_eq!(written, b"<a><c><b/></c><d>x</d></a>");
    }

    #[test]
    fn depth_and_count_are_capped() {
        let nested = |depth: usize| [vec!["<a>"; depth], vec!["</a>"; depth]].concat().concat();
        let read = |text: String| Tree::new(text.as_bytes()).read(0..text.len()).map(|_| ());
        assert_eq!(read(nested(MAX_XML_DEPTH)), Ok(()));
        assert_eq!(read(nested(MAX_XML_DEPTH + 1)), Err(Fault::TooLong));
        let many = |count: usize| "<a/>".repeat(count - 1);
        assert_eq!(read(many(MAX_XML_NODES)), Ok(()));
        assert_eq!(read(many(MAX_XML_NODES + 1)), Err(Fault::TooLong));
    }
}
