//! All connected peers, in the order of their links.

use p2pcdn_wire::LinkId;

use crate::neighbour::Neighbour;

/// Neighbours by link.
///
/// Two dense arrays rather than a tree: plans go through all of them, and a look-up reads the
/// links alone, eight to a cache line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    /// Ascending.
    links: Vec<LinkId>,
    /// In the order of `links`.
    states: Vec<Neighbour>,
}

impl Neighbours {
    /// Adds one, in place of what was known of the same link.
    pub(crate) fn insert(&mut self, link: LinkId, neighbour: Neighbour) {
        match self.links.binary_search(&link) {
            Ok(at) => self.states[at] = neighbour,
            Err(at) => {
                self.links.reserve_exact(1);
                self.states.reserve_exact(1);
                self.links.insert(at, link);
                self.states.insert(at, neighbour);
            }
        }
    }

    pub(crate) fn remove(&mut self, link: LinkId) -> Option<Neighbour> {
        let at = self.links.binary_search(&link).ok()?;
        self.links.remove(at);
        Some(self.states.remove(at))
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<&Neighbour> {
        let at = self.links.binary_search(&link).ok()?;
        self.states.get(at)
    }

    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Neighbour> {
        let at = self.links.binary_search(&link).ok()?;
        self.states.get_mut(at)
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.links.iter().copied()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Neighbour> {
        self.states.iter()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Neighbour> {
        self.states.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Neighbour)> {
        self.links().zip(&self.states)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Neighbour)> {
        self.links.iter().copied().zip(&mut self.states)
    }
}
