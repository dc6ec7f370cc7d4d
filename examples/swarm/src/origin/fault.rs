//! What the origin does wrong on purpose.

use super::resource::Kind;

/// One kind of misbehaviour towards the requests that it is aimed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The requests that it befalls.
    pub target: Target,
    /// What happens to them.
    pub failure: Failure,
    /// How many requests it befalls before it ends; `None` is all of them.
    pub times: Option<u32>,
}

/// Which requests a [`Fault`] befalls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every request.
    Everything,
    /// Those for one kind of resource.
    Kind(Kind),
    /// Those whose path contains this text.
    Path(String),
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is answered with this status and no body. A status that does not exist becomes 500.
    Status(u16),
    /// The response stops after so many bytes of its body and stays open.
    StallAfter(u64),
    /// The connection is closed after so many bytes of the body.
    CloseAfter(u64),
    /// A `Range` is answered with 200 and the whole.
    IgnoreRange,
    /// The body comes at one byte per second.
    Trickle,
}

/// Who suffers from a list of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewers<'a> {
    /// All who have no list of their own.
    Others,
    /// The one that calls itself so in its `x-viewer` header.
    One(&'a str),
}

/// The failure of a request for `path`, taken from the first fault that it meets.
pub(super) fn strike(faults: &mut Vec<Fault>, path: &str, kind: Option<Kind>) -> Option<Failure> {
    let index = faults.iter().position(|fault| match &fault.target {
        Target::Everything => true,
        Target::Kind(wanted) => kind == Some(*wanted),
        Target::Path(part) => path.contains(part.as_str()),
    })?;
    let failure = faults[index].failure;
    match &mut faults[index].times {
        Some(0 | 1) => {
            faults.remove(index);
        }
        Some(times) => *times -= 1,
        None => {}
    }
    Some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_that_fits_strikes_as_often_as_it_says() {
        let fault = |target, status, times| Fault {
            target,
            failure: Failure::Status(status),
            times,
        };
        let mut faults = vec![
            fault(Target::Path("seg-000002".into()), 404, Some(2)),
            fault(Target::Kind(Kind::Media), 500, Some(1)),
        ];
        let mut ask = |path, kind| strike(&mut faults, path, kind);
        let media = Some(Kind::Media);
        assert_eq!(ask("/live/top/playlist.m3u8", Some(Kind::Manifest)), None);
        assert_eq!(
            ask("/live/top/seg-000002.m4s", media),
            Some(Failure::Status(404))
        );
        assert_eq!(
            ask("/live/top/seg-000003.m4s", media),
            Some(Failure::Status(500))
        );
        assert_eq!(ask("/live/top/seg-000003.m4s", media), None);
        assert_eq!(
            ask("/live/top/seg-000002.m4s", media),
            Some(Failure::Status(404))
        );
        assert_eq!(ask("/live/top/seg-000002.m4s", media), None);
    }
}
