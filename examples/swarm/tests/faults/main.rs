//! What goes wrong on real sockets, and what viewers notice of it: nothing that they would not
//! have noticed over HTTP alone. Beside it what never may happen: dealing with peers against the
//! origin's will, and telling them what is not theirs to know.

mod attesters;
mod authorisation;
mod origins;
mod peers;
mod secrecy;
mod support;
mod trackers;
