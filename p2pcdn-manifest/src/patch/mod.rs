//! MPD Patch documents (ISO/IEC 23009-1:2022 section 5.15): what changes in an MPD, as operations
//! on its elements (RFC 5261).

mod operation;
mod selector;
mod tree;

use thiserror::Error;

use crate::{
    limits::{MAX_PATCH_WORK, MAX_REWRITTEN_LEN, MAX_TEXT_LEN},
    markup::Malformed,
};
use operation::Patcher;
use tree::{NodeId, Tree};

/// Applies a Patch document to the MPD that it was made for; gives the new MPD.
///
/// Operations (`add`, `replace`, `remove`) are made in order, on elements, attributes and text; a
/// later one sees what the earlier ones did. Selectors are paths from the root with predicates by
/// position and by attribute (`/MPD/Period[@id='1']/AdaptationSet[2]/@lang`); prefixes of names
/// are passed over. What no operation touches stays byte for byte, and prefixes that only the
/// patch declares are declared where they are put.
///
/// # Errors
///
/// When either document cannot be read, they do not belong together, or an operation cannot be
/// made. The MPD is then to be loaded as a whole, as it is when its `PatchLocation` has expired.
///
/// ```
/// use p2pcdn_manifest::apply_patch;
///
/// let mpd = br#"<MPD id="a" publishTime="2026-01-01T00:00:00Z"><Period/></MPD>"#;
/// let patch = br#"<Patch mpdId="a" originalPublishTime="2026-01-01T00:00:00Z"
///   publishTime="2026-01-01T00:00:02Z">
///   <replace sel="/MPD/@publishTime">2026-01-01T00:00:02Z</replace>
///   <add sel="/MPD/Period[1]" pos="after"><Period id="2"/></add>
/// </Patch>"#;
/// let newer = br#"<MPD id="a" publishTime="2026-01-01T00:00:02Z"><Period/><Period id="2"/></MPD>"#;
/// assert_eq!(apply_patch(mpd, patch)?, newer);
/// # Ok::<(), p2pcdn_manifest::PatchError>(())
/// ```
pub fn apply_patch(mpd: &[u8], patch: &[u8]) -> Result<Vec<u8>, PatchError> {
    if mpd.len() > MAX_TEXT_LEN || patch.len() > MAX_TEXT_LEN {
        return Err(PatchError::TooLong);
    }
    let text = [mpd, patch].concat();
    let mut tree = Tree::new(&text);
    let of = |document| move |fault: Fault| fault.into_error(document, "");
    let document = tree.read(0..mpd.len()).map_err(of(PatchDocument::Mpd))?;
    let operations = tree
        .read(mpd.len()..text.len())
        .map_err(of(PatchDocument::Patch))?;
    let mpd = root(&tree, document, "MPD").ok_or(PatchError::NotAnMpd)?;
    let patch = root(&tree, operations, "Patch").ok_or(PatchError::NotAPatch)?;
    check(&tree, mpd, patch)?;
    let list: Vec<NodeId> = tree.elements(patch).collect();
    let mut patcher = Patcher {
        tree,
        document,
        patch,
        budget: MAX_PATCH_WORK,
    };
    for operation in list {
        let selector = patcher.selector(operation);
        patcher
            .apply(operation)
            .map_err(|fault| fault.into_error(PatchDocument::Patch, &selector))?;
    }
    let tree = patcher.tree;
    root(&tree, document, "MPD").ok_or(PatchError::NotAnMpd)?;
    tree.write(document, MAX_REWRITTEN_LEN)
        .map_err(of(PatchDocument::Mpd))
}

/// Why a patch is not applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatchError {
    /// A document is longer than [`MAX_TEXT_LEN`], both have more than
    /// [`MAX_XML_NODES`](crate::MAX_XML_NODES) elements and pieces of text or are deeper than
    /// [`MAX_XML_DEPTH`](crate::MAX_XML_DEPTH), finding what is meant takes more than
    /// [`MAX_PATCH_WORK`], or the new MPD is longer than [`MAX_REWRITTEN_LEN`].
    #[error("the MPD or its patch is too long")]
    TooLong,
    /// A document is not well-formed.
    #[error("the {document} is not well-formed at byte {at}")]
    Malformed {
        /// Which.
        document: PatchDocument,
        /// Offset of the offending token in it.
        at: usize,
    },
    /// What is to be patched is no MPD, or would no longer be one.
    #[error("not an MPD")]
    NotAnMpd,
    /// The root of the patch is not `Patch`.
    #[error("not a Patch document")]
    NotAPatch,
    /// `Patch@mpdId` is not `MPD@id`.
    #[error("a patch for MPD {patch:?}, not {mpd:?}")]
    OtherMpd {
        /// `MPD@id`, its first bytes; `None` if absent.
        mpd: Option<String>,
        /// `Patch@mpdId`, its first bytes; `None` if absent.
        patch: Option<String>,
    },
    /// `Patch@originalPublishTime` is not `MPD@publishTime`.
    #[error("a patch for the MPD of {patch:?}, not {mpd:?}")]
    OtherTime {
        /// `MPD@publishTime`, its first bytes; `None` if absent.
        mpd: Option<String>,
        /// `Patch@originalPublishTime`, its first bytes; `None` if absent.
        patch: Option<String>,
    },
    /// An operation has no selector, or one of a form that is not supported.
    #[error("selector {selector:?} is not supported")]
    BadSelector {
        /// Its first bytes.
        selector: String,
    },
    /// A selector finds nothing.
    #[error("selector {selector:?} finds nothing")]
    NotFound {
        /// Its first bytes.
        selector: String,
    },
    /// A selector finds more than one element.
    #[error("selector {selector:?} finds several elements")]
    Ambiguous {
        /// Its first bytes.
        selector: String,
    },
    /// An operation is unknown, or makes no sense for what it selects.
    #[error("the operation on {selector:?} makes no sense")]
    BadOperation {
        /// Its selector's first bytes.
        selector: String,
    },
}

/// One of the two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatchDocument {
    /// What is patched.
    #[error("MPD")]
    Mpd,
    /// The Patch document.
    #[error("patch")]
    Patch,
}

/// A [`PatchError`] without what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    TooLong,
    Malformed(usize),
    BadSelector,
    NotFound,
    Ambiguous,
    BadOperation,
}

impl Fault {
    fn into_error(self, document: PatchDocument, selector: &str) -> PatchError {
        let selector = excerpt(selector);
        match self {
            Self::TooLong => PatchError::TooLong,
            Self::Malformed(at) => PatchError::Malformed { document, at },
            Self::BadSelector => PatchError::BadSelector { selector },
            Self::NotFound => PatchError::NotFound { selector },
            Self::Ambiguous => PatchError::Ambiguous { selector },
            Self::BadOperation => PatchError::BadOperation { selector },
        }
    }
}

impl From<Malformed> for Fault {
    fn from(Malformed(at): Malformed) -> Self {
        Self::Malformed(at)
    }
}

/// The one root element, if it has this name.
fn root(tree: &Tree<'_>, document: NodeId, name: &str) -> Option<NodeId> {
    let mut roots = tree.elements(document);
    let root = roots.next().filter(|_| roots.next().is_none())?;
    (tree.tag(root)?.local_name() == name).then_some(root)
}

/// Whether the patch was made for this MPD.
fn check(tree: &Tree<'_>, mpd: NodeId, patch: NodeId) -> Result<(), PatchError> {
    let value = |element, name| {
        let value = tree.tag(element).and_then(|tag| tag.value(name));
        value.map(|value| value.trim().to_owned())
    };
    let short = |value: Option<String>| value.as_deref().map(excerpt);
    let (id, wanted) = (value(mpd, "id"), value(patch, "mpdId"));
    if wanted.is_none() || id != wanted {
        let (mpd, patch) = (short(id), short(wanted));
        return Err(PatchError::OtherMpd { mpd, patch });
    }
    let time = value(mpd, "publishTime");
    let wanted = value(patch, "originalPublishTime");
    let is_same = time.as_deref().map(plain_time) == wanted.as_deref().map(plain_time);
    if wanted.is_none() || !is_same {
        let (mpd, patch) = (short(time), short(wanted));
        return Err(PatchError::OtherTime { mpd, patch });
    }
    Ok(())
}

/// A time in UTC without what does not matter: its zone and the zeros behind its fraction.
fn plain_time(time: &str) -> &str {
    let utc = ["Z", "+00:00", "-00:00"];
    let bare = utc.iter().find_map(|zone| time.strip_suffix(zone));
    let bare = bare.unwrap_or(time);
    if bare.contains('.') {
        bare.trim_end_matches('0').trim_end_matches('.')
    } else {
        bare
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}
