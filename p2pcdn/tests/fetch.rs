//! What an HTTP attempt makes of every kind of answer.

use bytes::Bytes;
use p2pcdn::{
    Fetch, FetchEnd, FetchError, FetchPlan, MAX_SEGMENT_LEN, ResponseHead, Retry, Validator,
    transport::{HttpError, HttpRange},
    wire::ByteRange,
};
use proptest::prelude::*;

fn plan(start: u64, end: Option<u64>) -> FetchPlan {
    FetchPlan {
        url: "https://cdn.example/7.m4s?token=a".into(),
        start,
        end,
        ..FetchPlan::default()
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> ResponseHead {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    ResponseHead::new(status, headers)
}

fn range_header(fetch: &Fetch) -> Option<String> {
    fetch.request().range.and_then(HttpRange::to_header)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn asks_for_the_whole_resource_without_a_range() {
    let mut fetch = Fetch::new(plan(0, None));
    assert_eq!(fetch.request().url, "https://cdn.example/7.m4s?token=a");
    assert_eq!(range_header(&fetch), None);
    let good = fetch.handle_head(&head(200, &[("Content-Length", "10")]));
    assert_eq!(good.map(|head| head.segment_len), Ok(Some(10)));
    assert_eq!(fetch.handle_body(bytes("01234")), Some((0, bytes("01234"))));
    assert!(!fetch.is_done());
    assert_eq!(fetch.handle_body(bytes("56789")), Some((5, bytes("56789"))));
    assert!(fetch.is_done());
    let end = FetchEnd {
        segment_len: Some(10),
    };
    assert_eq!(fetch.handle_end(), Ok(end));
}

#[test]
fn a_segment_inside_a_resource_is_asked_for_by_its_place_there() {
    let inside = |start, end| {
        Fetch::new(FetchPlan {
            resource: Some(ByteRange::new(1_000, 1_010)),
            ..plan(start, end)
        })
    };
    assert_eq!(
        range_header(&inside(0, None)).as_deref(),
        Some("bytes=1000-1009")
    );
    assert_eq!(
        range_header(&inside(4, Some(6))).as_deref(),
        Some("bytes=1004-1005")
    );
    assert_eq!(
        range_header(&inside(4, Some(99))).as_deref(),
        Some("bytes=1004-1009")
    );

    let mut fetch = inside(4, Some(6));
    let partial = head(206, &[("Content-Range", "bytes 1004-1005/5000")]);
    assert_eq!(
        fetch.handle_head(&partial).map(|it| it.segment_len),
        Ok(Some(10))
    );
    assert_eq!(fetch.handle_body(bytes("ab")), Some((4, bytes("ab"))));
    assert!(fetch.handle_end().is_ok());
}

#[test]
fn an_origin_that_ignores_the_range_is_skipped_through_to_the_wanted_bytes() {
    let mut fetch = Fetch::new(plan(3, Some(7)));
    assert_eq!(range_header(&fetch).as_deref(), Some("bytes=3-6"));
    let good = fetch.handle_head(&head(200, &[("Content-Length", "10")]));
    assert!(good.is_ok_and(|head| head.range_ignored));
    assert_eq!(fetch.handle_body(bytes("01")), None);
    assert_eq!(fetch.handle_body(bytes("2345")), Some((3, bytes("345"))));
    assert_eq!(fetch.handle_body(bytes("6789")), Some((6, bytes("6"))));
    assert!(fetch.is_done());
    assert_eq!(fetch.handle_body(bytes("x")), None);
    assert!(fetch.handle_end().is_ok());
}

#[test]
fn a_partial_answer_is_used_where_its_content_range_places_it() {
    let mut fetch = Fetch::new(plan(4, None));
    let partial = head(206, &[("Content-Range", "bytes 2-9/10")]);
    assert_eq!(
        fetch.handle_head(&partial).map(|it| it.segment_len),
        Ok(Some(10))
    );
    assert_eq!(
        fetch.handle_body(bytes("23456789")),
        Some((4, bytes("456789")))
    );
    assert!(fetch.is_done() && fetch.handle_end().is_ok());
}

#[test]
fn a_partial_answer_about_other_bytes_is_an_error() {
    for (content_range, found) in [
        ("bytes 0-3/10", Some(ByteRange::new(0, 4))),
        ("bytes 5-9/10", Some(ByteRange::new(5, 10))),
        ("bytes */10", None),
        ("nonsense", None),
    ] {
        let mut fetch = Fetch::new(plan(4, None));
        let error = fetch.handle_head(&head(206, &[("Content-Range", content_range)]));
        let wrong = FetchError::WrongRange {
            wanted_start: 4,
            found,
        };
        assert_eq!(error, Err(wrong), "{content_range}");
        assert_eq!(fetch.handle_body(bytes("abc")), None);
    }
    let contradictory = [("Content-Range", "bytes 4-9/10"), ("Content-Length", "7")];
    let error = Fetch::new(plan(4, None)).handle_head(&head(206, &contradictory));
    assert!(matches!(error, Err(FetchError::WrongRange { .. })));
    let parts = [("Content-Type", "Multipart/ByteRanges; boundary=x")];
    let error = Fetch::new(plan(4, None)).handle_head(&head(206, &parts));
    assert_eq!(error, Err(FetchError::Multipart));
}

#[test]
fn every_refusal_has_its_type_and_says_what_a_retry_is_good_for() {
    let error = |status| {
        Fetch::new(plan(0, None))
            .handle_head(&head(status, &[]))
            .expect_err("a refusal")
    };
    for status in [401, 402, 403, 407, 451] {
        assert_eq!(error(status), FetchError::Unauthorised { status });
        assert_eq!(error(status).retry(), Retry::Never);
    }
    for status in [404, 410] {
        assert_eq!(error(status), FetchError::NotFound { status });
        assert_eq!(error(status).retry(), Retry::Never);
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        assert_eq!(error(status), FetchError::Server { status });
        assert_eq!(error(status).retry(), Retry::Resume);
    }
    for status in [100, 204, 301, 304, 418, 600] {
        assert_eq!(error(status), FetchError::Status { status });
    }
    let beyond = head(416, &[("Content-Range", "bytes */10")]);
    let beyond = Fetch::new(plan(20, None)).handle_head(&beyond);
    let resource_len = Some(10);
    assert_eq!(
        beyond,
        Err(FetchError::RangeNotSatisfiable { resource_len })
    );
    assert_eq!(
        FetchError::Unauthorised { status: 403 }.to_string(),
        "the origin refuses access with status 403"
    );
}

#[test]
fn a_body_that_ends_early_keeps_what_came() {
    let mut fetch = Fetch::new(plan(2, None));
    let partial = head(206, &[("Content-Range", "bytes 2-9/10")]);
    assert!(fetch.handle_head(&partial).is_ok());
    fetch.handle_body(bytes("234"));
    assert_eq!(fetch.position(), 5);
    let error = FetchError::Truncated {
        received: 3,
        expected: Some(8),
    };
    assert_eq!(error.retry(), Retry::Resume);
    assert_eq!(fetch.clone().handle_end(), Err(error));
    let failure = fetch.handle_failure(HttpError::Reset);
    assert_eq!(
        failure,
        FetchError::Interrupted {
            received: 3,
            reason: HttpError::Reset
        }
    );
    assert_eq!(failure.retry(), Retry::Resume);
}

#[test]
fn a_shorter_range_than_asked_for_is_truncated_not_complete() {
    let mut fetch = Fetch::new(plan(0, Some(8)));
    let partial = head(206, &[("Content-Range", "bytes 0-3/10")]);
    assert!(fetch.handle_head(&partial).is_ok());
    assert_eq!(fetch.handle_body(bytes("01234")), Some((0, bytes("0123"))));
    let error = FetchError::Truncated {
        received: 4,
        expected: Some(8),
    };
    assert_eq!(fetch.handle_end(), Err(error));
}

#[test]
fn a_longer_body_than_announced_is_cut() {
    let mut fetch = Fetch::new(plan(0, None));
    assert!(
        fetch
            .handle_head(&head(200, &[("Content-Length", "4")]))
            .is_ok()
    );
    assert_eq!(fetch.handle_body(bytes("012345")), Some((0, bytes("0123"))));
    assert!(fetch.is_done() && fetch.handle_end().is_ok());
}

#[test]
fn without_a_content_length_the_end_of_the_body_is_the_end_of_the_segment() {
    let mut fetch = Fetch::new(plan(2, None));
    let good = fetch.handle_head(&head(200, &[]));
    assert_eq!(good.map(|head| head.segment_len), Ok(None));
    fetch.handle_body(bytes("01234"));
    assert!(!fetch.is_done());
    let end = FetchEnd {
        segment_len: Some(5),
    };
    assert_eq!(fetch.handle_end(), Ok(end));

    let mut fetch = Fetch::new(plan(2, None));
    assert!(fetch.handle_head(&head(200, &[])).is_ok());
    fetch.handle_body(bytes("0"));
    assert!(matches!(
        fetch.handle_end(),
        Err(FetchError::Truncated { .. })
    ));
}

#[test]
fn a_resource_that_ends_before_the_segment_is_an_error() {
    let mut fetch = Fetch::new(FetchPlan {
        resource: Some(ByteRange::new(10, 20)),
        ..plan(0, None)
    });
    let error = FetchError::TooShort {
        resource_len: 19,
        needed: 20,
    };
    assert_eq!(error.retry(), Retry::Restart);
    let response = head(200, &[("Content-Length", "19")]);
    assert_eq!(fetch.handle_head(&response), Err(error));
}

#[test]
fn a_resumed_segment_stays_one_version() {
    let resumed = |validator: Validator, response: &ResponseHead| {
        let mut fetch = Fetch::new(FetchPlan {
            validator: Some(validator),
            ..plan(4, None)
        });
        let if_range = fetch.request().if_range;
        (
            if_range,
            fetch.handle_head(response).map(|head| head.validator),
        )
    };
    let (old, new) = ("\"old\"", "\"new\"");
    let range = ("Content-Range", "bytes 4-9/10");
    let strong = Validator::ETag(old.into());

    let (if_range, same) = resumed(strong.clone(), &head(206, &[range, ("ETag", old)]));
    assert_eq!(if_range.as_deref(), Some(old));
    assert_eq!(same, Ok(Some(strong.clone())));
    let changed = Err(FetchError::ContentChanged);
    for other in [
        head(206, &[range, ("ETag", new)]),
        head(200, &[("ETag", new)]),
        head(200, &[]),
    ] {
        assert_eq!(resumed(strong.clone(), &other).1, changed, "{other:?}");
    }
    // An origin without ranges sends the whole of the same version.
    assert!(
        resumed(strong.clone(), &head(200, &[("ETag", old)]))
            .1
            .is_ok()
    );

    let weak = Validator::WeakETag("W/\"old\"".into());
    let (if_range, other) = resumed(weak, &head(206, &[range, ("ETag", "W/\"new\"")]));
    assert_eq!((if_range, other), (None, changed));
    assert_eq!(FetchError::ContentChanged.retry(), Retry::Restart);
}

#[test]
fn a_first_request_carries_no_condition() {
    let fetch = Fetch::new(FetchPlan {
        validator: Some(Validator::ETag("\"a\"".into())),
        ..plan(0, None)
    });
    assert_eq!(fetch.request().if_range, None);
}

#[test]
fn a_response_kept_out_of_shared_caches_is_not_shareable() {
    let shareable = |headers: &[(&str, &str)]| {
        let head = Fetch::new(plan(0, None)).handle_head(&head(200, headers));
        head.expect("a good response").shareable
    };
    assert!(shareable(&[
        ("Set-Cookie", "a=b"),
        ("Cache-Control", "max-age=1")
    ]));
    assert!(!shareable(&[("Cache-Control", "private, max-age=1")]));
    assert!(!shareable(&[("Cache-Control", "no-store")]));
}

#[test]
fn a_compressed_body_is_not_taken_for_the_segment() {
    let response = head(200, &[("Content-Encoding", "gzip")]);
    let error = Fetch::new(plan(0, None)).handle_head(&response);
    let coding = "gzip".to_owned();
    assert_eq!(error, Err(FetchError::Encoded { coding }));
    let response = head(200, &[("Content-Encoding", "identity")]);
    assert!(Fetch::new(plan(0, None)).handle_head(&response).is_ok());
}

#[test]
fn a_segment_longer_than_any_is_refused() {
    let with_len = |len: u64| {
        let text = len.to_string();
        Fetch::new(plan(0, None)).handle_head(&head(200, &[("Content-Length", &text)]))
    };
    assert!(with_len(MAX_SEGMENT_LEN).is_ok());
    let segment_len = Some(MAX_SEGMENT_LEN + 1);
    assert_eq!(
        with_len(MAX_SEGMENT_LEN + 1),
        Err(FetchError::TooLong { segment_len })
    );

    let mut fetch = Fetch::new(plan(0, None));
    assert!(fetch.handle_head(&head(200, &[])).is_ok());
    let piece = Bytes::from(vec![0; 1 << 20]);
    let mut taken = 0;
    for _ in 0..=256 {
        taken += fetch
            .handle_body(piece.clone())
            .map_or(0, |(_, it)| it.len() as u64);
    }
    assert_eq!(taken, MAX_SEGMENT_LEN);
    assert!(fetch.is_done());
    assert_eq!(
        fetch.handle_end(),
        Err(FetchError::TooLong { segment_len: None })
    );
}

#[test]
fn what_comes_after_the_end_or_before_the_head_is_ignored() {
    let mut fetch = Fetch::new(plan(0, None));
    assert_eq!(fetch.handle_body(bytes("early")), None);
    fetch.handle_failure(HttpError::Connect);
    assert!(fetch.is_done());
    assert_eq!(fetch.handle_body(bytes("late")), None);
    assert!(fetch.handle_end().is_err());
}

fn size(len: u64) -> usize {
    usize::try_from(len).expect("a test's sizes are small")
}

proptest! {
    #[test]
    fn a_body_in_any_pieces_gives_exactly_the_wanted_bytes(
        len in 1u64..200,
        resource_start in 0u64..50,
        start in 0u64..200,
        end in prop::option::of(1u64..300),
        ignores_range in any::<bool>(),
        says_len in any::<bool>(),
        pieces in prop::collection::vec(1usize..50, 1..20),
    ) {
        let start = start.min(len - 1);
        let end = end.filter(|end| *end > start);
        let is_inside = resource_start > 0;
        let resource: Vec<u8> = (0..=249).take(size(resource_start + len)).collect();
        let mut fetch = Fetch::new(FetchPlan {
            resource: is_inside.then(|| ByteRange::new(resource_start, resource_start + len)),
            ..plan(start, end)
        });
        // An origin, by the book.
        let asked = fetch.request().range.filter(|_| !ignores_range);
        let sent = match asked {
            Some(range) => {
                let to = range.end.map_or(resource.len(), size).min(resource.len());
                ByteRange::new(range.start, to as u64)
            }
            None => ByteRange::new(0, resource.len() as u64),
        };
        let total = if says_len { resource.len().to_string() } else { "*".into() };
        let content_range = format!("bytes {}-{}/{total}", sent.start, sent.end - 1);
        let length = sent.len().to_string();
        let mut headers = vec![];
        if asked.is_some() {
            headers.push(("Content-Range", &content_range[..]));
        }
        if says_len {
            headers.push(("Content-Length", &length[..]));
        }
        let response = head(if asked.is_some() { 206 } else { 200 }, &headers);
        prop_assert!(fetch.handle_head(&response).is_ok());

        let mut rest = Bytes::from(resource.clone()).slice(size(sent.start)..size(sent.end));
        let mut position = start;
        for piece in pieces.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let piece = rest.split_to(piece.min(rest.len()));
            if let Some((offset, bytes)) = fetch.handle_body(piece) {
                prop_assert_eq!(offset, position);
                let from = size(resource_start + offset);
                prop_assert_eq!(&bytes[..], &resource[from..from + bytes.len()]);
                position += bytes.len() as u64;
            }
        }
        prop_assert_eq!(position, end.unwrap_or(len).min(len));
        prop_assert_eq!(fetch.position(), position);
        let is_known_end = says_len || is_inside || end.is_none_or(|end| end <= len);
        prop_assert_eq!(fetch.handle_end().is_ok(), is_known_end);
    }

    #[test]
    fn no_answer_makes_it_panic(
        status in any::<u16>(),
        content_range in "(bytes )?[0-9*]{0,21}-?[0-9]{0,21}/?[0-9*]{0,21}",
        content_length in "[0-9]{0,21}",
        start in any::<u64>(),
        end in prop::option::of(any::<u64>()),
        resource in prop::option::of((any::<u64>(), any::<u64>())),
    ) {
        let mut fetch = Fetch::new(FetchPlan {
            resource: resource.map(|(start, end)| ByteRange::new(start, end)),
            ..plan(start, end)
        });
        let headers = [("content-range", &content_range[..]), ("content-length", &content_length[..])];
        for status in [status, 200, 206, 416] {
            let mut fetch = fetch.clone();
            let _ = fetch.handle_head(&head(status, &headers));
            let _ = fetch.handle_body(bytes("body"));
            let _ = fetch.position();
            let _ = fetch.handle_end();
        }
        fetch.handle_failure(HttpError::Timeout);
    }
}
