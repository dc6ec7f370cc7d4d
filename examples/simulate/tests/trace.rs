//! Recording a session and playing it again.

mod arena;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arena::{Arena, honest::new_session};
use p2pcdn::wire::Instant;
use p2pcdn_example_simulate::{
    scenario::HostileKind,
    trace::{Header, Recorder, ReplayError, Replayed, Stage, replay},
    world::Shared,
};

/// A session among adversaries for 20 s: HTTP, peers, lies, closed links.
fn recorded() -> &'static (Arc<Shared>, String) {
    static RECORDED: OnceLock<(Arc<Shared>, String)> = OnceLock::new();
    RECORDED.get_or_init(record)
}

fn record() -> (Arc<Shared>, String) {
    let kinds = [
        HostileKind::Trickler,
        HostileKind::Polluter,
        HostileKind::IntentLiar,
        HostileKind::Flooder,
    ];
    let mut arena = Arena::new(&kinds);
    let header = Header {
        preset: "arena".to_owned(),
        overrides: vec![("viewers".to_owned(), "5".to_owned())],
        seed: 7,
        person: 0,
        started_at: u64::try_from(arena.now.since_epoch().as_nanos()).unwrap(),
    };
    arena.honest.recorder = Some(Recorder::new(Vec::new(), &header));
    arena.run_secs(10);
    arena.leave(1);
    arena.run_secs(10);
    let recorder = arena.honest.recorder.take().unwrap();
    let trace = String::from_utf8(recorder.finish().unwrap()).unwrap();
    (arena.shared.clone(), trace)
}

fn play(shared: &Arc<Shared>, trace: &str) -> Result<Replayed, ReplayError> {
    let shared = shared.clone();
    replay(trace.as_bytes(), |header| {
        if header.preset != "arena" {
            return Err(format!("there is no preset {}", header.preset));
        }
        let now = Instant::from_epoch(Duration::from_nanos(header.started_at));
        let session = new_session(&shared, now);
        // What the arena publishes.
        let presentation = move |published| {
            let is_known = published < 1_000_000;
            is_known.then(|| shared.media.presentation(published))
        };
        Ok(Stage {
            session,
            presentation: Box::new(presentation),
        })
    })
}

/// The trace with one line changed.
fn with_line(
    trace: &str,
    which: impl Fn(&str) -> bool,
    change: impl Fn(&str) -> String,
) -> (String, u64) {
    let at = trace.lines().position(which).expect("there is such a line");
    let lines = trace.lines().enumerate();
    let changed = lines.map(|(index, line)| {
        if index == at {
            change(line)
        } else {
            line.to_owned()
        }
    });
    let text: String = changed.map(|line| line + "\n").collect();
    (text, at as u64 + 1)
}

#[test]
fn a_recorded_session_does_the_same_again() {
    let (shared, trace) = recorded();
    let replayed = play(shared, trace).unwrap();
    let lines = |start: &str| trace.lines().filter(|line| line.starts_with(start)).count() as u64;
    assert_eq!(replayed.inputs, lines(r#"{"told""#) + lines(r#"{"woken""#));
    assert_eq!(replayed.outputs, lines(r#"{"did""#));
    assert_eq!(replayed.header.person, 0);
    assert!(
        lines(r#"{"told":{"at":"#) > 300 && replayed.outputs > 100,
        "{replayed:?}"
    );
    for kind in [
        "link_received",
        "fetch_received",
        "presentation_updated",
        "link_closed",
    ] {
        assert!(trace.contains(kind), "{kind}");
    }
}

#[test]
fn an_answer_that_was_another_one_is_found_where_it_is() {
    let (shared, trace) = recorded();
    let (tampered, line) = with_line(
        trace,
        |line| line.starts_with(r#"{"did""#) && line.contains("Fetch {"),
        |line| {
            let (before, digest) = line.split_once(r#""digest":"#).expect("it has one");
            let (digest, after) = digest.split_once(',').expect("more follows");
            let digest: u64 = digest.parse().expect("a number");
            format!(r#"{before}"digest":{},{after}"#, digest ^ 1)
        },
    );
    match play(shared, &tampered) {
        Err(ReplayError::Differs(difference)) => {
            assert_eq!(difference.line, line);
            assert!(difference.recorded.starts_with("Fetch {"), "{difference:?}");
            assert!(difference.replayed.starts_with("Fetch {"), "{difference:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_input_that_was_another_one_shows_in_what_follows() {
    let (shared, trace) = recorded();
    let (tampered, line) = with_line(
        trace,
        |line| line.contains("fetch_answered"),
        |line| {
            line.replace(r#""status":206"#, r#""status":503"#)
                .replace(r#""status":200"#, r#""status":503"#)
        },
    );
    match play(shared, &tampered) {
        Err(ReplayError::Differs(difference)) => assert!(difference.line > line),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_and_an_added_answer_are_found() {
    let (shared, trace) = recorded();
    let is_answer = |line: &str| line.starts_with(r#"{"did""#);
    let (missing, _) = with_line(trace, is_answer, |_| String::new());
    let missing = missing.replace("\n\n", "\n");
    assert!(matches!(
        play(shared, &missing),
        Err(ReplayError::Differs(_))
    ));
    let (added, _) = with_line(trace, is_answer, |line| format!("{line}\n{line}"));
    assert!(matches!(play(shared, &added), Err(ReplayError::Differs(_))));
}

#[test]
fn a_trace_that_is_cut_short_is_not_taken_for_a_whole_one() {
    let (shared, trace) = recorded();
    let lines = trace.lines().count();
    let whole_lines: String = trace
        .lines()
        .take(lines - 1)
        .map(|line| format!("{line}\n"))
        .collect();
    let last = lines as u64 - 1;
    match play(shared, &whole_lines) {
        Err(ReplayError::CutShort { line }) => assert_eq!(line, last),
        other => panic!("{other:?}"),
    }
    let within_a_line = &trace[..whole_lines.len() - 5];
    match play(shared, within_a_line) {
        Err(ReplayError::CutShort { line }) => assert_eq!(line, last - 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_trace_is_refused() {
    let (shared, trace) = recorded();
    for text in [
        "",
        "\n",
        "hello\n",
        "{}\n",
        "{\"woken\":{\"at\":1}}\n",
        "\u{0}\u{1}\n",
    ] {
        let result = play(shared, text);
        assert!(
            matches!(result, Err(ReplayError::NotATrace)),
            "{text:?}: {result:?}"
        );
    }
    let invalid_utf8 = replay(
        &b"\xff\xfe\n"[..],
        |_| -> Result<Stage<p2pcdn::MemoryStore>, _> { Err("never".to_owned()) },
    );
    assert!(matches!(invalid_utf8, Err(ReplayError::NotATrace)));
    let (newer, _) = with_line(
        trace,
        |_| true,
        |line| line.replace(r#""version":1"#, r#""version":2"#),
    );
    assert!(matches!(play(shared, &newer), Err(ReplayError::Version(2))));
    let (other, _) = with_line(trace, |_| true, |line| line.replace("arena", "stadium"));
    assert!(matches!(play(shared, &other), Err(ReplayError::Stage(_))));
    let (junk, at) = with_line(
        trace,
        |line| line.contains("link_opened"),
        |_| "junk".to_owned(),
    );
    assert!(matches!(play(shared, &junk), Err(ReplayError::Malformed { line, .. }) if line == at));
    let (unknown, at) = with_line(
        trace,
        |line| line.contains("presentation_updated"),
        |line| line.replace(r#""published":"#, r#""published":9999999"#),
    );
    let result = play(shared, &unknown);
    assert!(
        matches!(result, Err(ReplayError::Unpublished { line, .. }) if line == at),
        "{result:?}"
    );
}
