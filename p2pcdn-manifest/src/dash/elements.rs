//! The elements of an MPD as written: nothing inherited, nothing resolved.

use std::{sync::Arc, time::Duration};

use p2pcdn_wire::ByteRange;

use super::{base::BaseUrl, model::Descriptor, values::Decimal};

/// `Period`.
#[derive(Debug, Default)]
pub(super) struct PeriodElement {
    pub(super) line: u32,
    pub(super) id: Option<Arc<str>>,
    pub(super) start: Option<Duration>,
    pub(super) duration: Option<Duration>,
    pub(super) asset: Option<Descriptor>,
    pub(super) base_urls: Vec<BaseUrl>,
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) sets: Vec<SetElement>,
}

/// `AdaptationSet`.
#[derive(Debug, Default)]
pub(super) struct SetElement {
    pub(super) id: Option<Arc<str>>,
    pub(super) content_type: Option<Arc<str>>,
    pub(super) lang: Option<Arc<str>>,
    pub(super) common: Common,
    pub(super) base_urls: Vec<BaseUrl>,
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) representations: Vec<RepresentationElement>,
}

/// `Representation`.
#[derive(Debug, Default)]
pub(super) struct RepresentationElement {
    pub(super) id: Option<Arc<str>>,
    pub(super) bandwidth: Option<u64>,
    pub(super) common: Common,
    pub(super) base_urls: Vec<BaseUrl>,
    pub(super) segments: Vec<SegmentInfo>,
}

/// What adaptation sets and representations have in common, the latter inheriting it.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) mime_type: Option<Arc<str>>,
    pub(super) codecs: Option<Arc<str>>,
    pub(super) width: Option<u64>,
    pub(super) height: Option<u64>,
    pub(super) frame_rate: Option<Arc<str>>,
    pub(super) audio_sampling_rate: Option<Arc<str>>,
    pub(super) is_protected: bool,
    pub(super) properties: Vec<Descriptor>,
}

/// Which of the three ways to name segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addressing {
    Template,
    List,
    Base,
}

/// `SegmentTemplate`, `SegmentList` or `SegmentBase` at one level.
#[derive(Clone, Debug)]
pub(super) struct SegmentInfo {
    pub(super) line: u32,
    pub(super) addressing: Addressing,
    pub(super) timescale: Option<u64>,
    pub(super) presentation_time_offset: Option<i64>,
    pub(super) duration: Option<Decimal>,
    pub(super) start_number: Option<u64>,
    pub(super) end_number: Option<u64>,
    pub(super) index_range: Option<ByteRange>,
    pub(super) availability_offset: Option<i64>,
    pub(super) availability_complete: Option<bool>,
    /// `@media`.
    pub(super) media: Option<Arc<str>>,
    /// `@initialization`.
    pub(super) init_template: Option<Arc<str>>,
    /// `Initialization`.
    pub(super) init: Option<UrlRange>,
    /// `RepresentationIndex`.
    pub(super) index: Option<UrlRange>,
    /// `SegmentTimeline`.
    pub(super) timeline: Option<Arc<[S]>>,
    /// `SegmentURL`s; `None` without any.
    pub(super) urls: Option<Arc<[UrlRange]>>,
}

/// A reference to a resource, or the one it stands in, and the bytes of it that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UrlRange {
    /// Empty for the base URL itself.
    pub(super) url: Box<str>,
    pub(super) range: Option<ByteRange>,
}

/// `S`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct S {
    pub(super) time: Option<u64>,
    pub(super) number: Option<u64>,
    pub(super) duration: u64,
    pub(super) repeat: i64,
    pub(super) sequence_len: u32,
}

impl SegmentInfo {
    pub(super) fn new(addressing: Addressing, line: u32) -> Self {
        Self {
            line,
            addressing,
            timescale: None,
            presentation_time_offset: None,
            duration: None,
            start_number: None,
            end_number: None,
            index_range: None,
            availability_offset: None,
            availability_complete: None,
            media: None,
            init_template: None,
            init: None,
            index: None,
            timeline: None,
            urls: None,
        }
    }

    /// Takes from `upper`, of the level above, what is not written here: attribute by attribute,
    /// and elements as a whole (ISO/IEC 23009-1, 5.3.9.1).
    fn inherit(&mut self, upper: &Self) {
        fn fill<T: Clone>(mine: &mut Option<T>, upper: &Option<T>) {
            if mine.is_none() {
                mine.clone_from(upper);
            }
        }
        fill(&mut self.timescale, &upper.timescale);
        fill(
            &mut self.presentation_time_offset,
            &upper.presentation_time_offset,
        );
        fill(&mut self.start_number, &upper.start_number);
        fill(&mut self.end_number, &upper.end_number);
        fill(&mut self.index_range, &upper.index_range);
        fill(&mut self.availability_offset, &upper.availability_offset);
        fill(
            &mut self.availability_complete,
            &upper.availability_complete,
        );
        fill(&mut self.media, &upper.media);
        fill(&mut self.init_template, &upper.init_template);
        fill(&mut self.init, &upper.init);
        fill(&mut self.index, &upper.index);
        fill(&mut self.urls, &upper.urls);
        // Either says how long segments are: the nearer one counts.
        if self.duration.is_none() {
            fill(&mut self.timeline, &upper.timeline);
        }
        if self.timeline.is_none() {
            fill(&mut self.duration, &upper.duration);
        }
    }
}

/// What holds for a representation: of the levels from the representation upwards, the first with
/// anything says which way; what it leaves out comes from the same way further up.
pub(super) fn inherited(levels: [&[SegmentInfo]; 3]) -> Option<SegmentInfo> {
    let at = |level: &[SegmentInfo]| {
        [Addressing::Template, Addressing::List, Addressing::Base]
            .into_iter()
            .find(|way| level.iter().any(|info| info.addressing == *way))
    };
    let way = levels.into_iter().find_map(at)?;
    let mut same = levels
        .into_iter()
        .filter_map(|level| level.iter().find(|info| info.addressing == way));
    let mut info = same.next()?.clone();
    for upper in same {
        info.inherit(upper);
    }
    Some(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_comes_from_further_up() {
        let mut period = SegmentInfo::new(Addressing::Template, 1);
        period.timescale = Some(90_000);
        period.media = Some("period".into());
        period.start_number = Some(7);
        let mut set = SegmentInfo::new(Addressing::Template, 2);
        set.media = Some("set".into());
        set.timeline = Some([S::default()].into());
        let mut own = SegmentInfo::new(Addressing::Template, 3);
        own.start_number = Some(9);
        own.duration = Some(Decimal {
            scaled: 4,
            scale: 1,
        });
        let info = inherited([&[own], &[set.clone()], &[period]]).unwrap();
        assert_eq!(info.timescale, Some(90_000));
        assert_eq!(info.media.as_deref(), Some("set"));
        assert_eq!(info.start_number, Some(9));
        assert_eq!(info.timeline, None, "the duration is nearer");
        let list = SegmentInfo::new(Addressing::List, 4);
        let info = inherited([&[list], &[set], &[]]).unwrap();
        assert_eq!((info.addressing, info.media), (Addressing::List, None));
        assert!(inherited([&[], &[], &[]]).is_none());
    }
}
