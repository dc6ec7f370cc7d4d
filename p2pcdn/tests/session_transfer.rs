//! Segments travel between viewers.

mod support;

use support::{Stream, World};

#[test]
fn two_viewers_share_a_live_stream() {
    let mut world = World::new(Stream::Live);
    world.publisher();
    let (a, b) = (world.viewer(), world.viewer());
    world.run_secs(60);
    world.check_no_stalls();
    for (at, event) in &world.nodes[a].outputs {
        println!("{at} {event:?}");
    }
    let _ = b;
}
