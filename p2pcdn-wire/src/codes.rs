//! The numbers that stand for types, classes, roles and reasons.

use crate::{
    message::DecodeError,
    say::{GoodbyeReason, RejectReason, Role, UploadClass},
};

/// The type bytes. 0x30, 0x31 and 0x32 are kept for subscribe, unsubscribe and relay; 0xf0 to 0xff
/// are free for experiments.
pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 0x00;
    pub(crate) const GOODBYE: u8 = 0x01;
    pub(crate) const PING: u8 = 0x02;
    pub(crate) const PONG: u8 = 0x03;
    pub(crate) const BITFIELD: u8 = 0x10;
    pub(crate) const HAVE: u8 = 0x11;
    pub(crate) const HOLDS: u8 = 0x12;
    pub(crate) const LOST: u8 = 0x13;
    pub(crate) const INTENT: u8 = 0x14;
    pub(crate) const WITHDRAWN: u8 = 0x15;
    pub(crate) const HAS_MAPS: u8 = 0x16;
    pub(crate) const REQUEST: u8 = 0x20;
    pub(crate) const CANCEL: u8 = 0x21;
    pub(crate) const REJECT: u8 = 0x22;
    pub(crate) const BLOCK: u8 = 0x23;
    pub(crate) const MAP_REQUEST: u8 = 0x24;
    pub(crate) const MAP: u8 = 0x25;
}

pub(crate) const fn class_code(class: UploadClass) -> u8 {
    match class {
        UploadClass::None => 0,
        UploadClass::Low => 1,
        UploadClass::Normal => 2,
        UploadClass::High => 3,
    }
}

pub(crate) fn upload_class(code: u8) -> Result<UploadClass, DecodeError> {
    match code {
        0 => Ok(UploadClass::None),
        1 => Ok(UploadClass::Low),
        2 => Ok(UploadClass::Normal),
        3 => Ok(UploadClass::High),
        _ => Err(DecodeError::out_of_range("upload class", code.into())),
    }
}

pub(crate) const fn role_code(role: Role) -> u8 {
    match role {
        Role::Holding => 0,
        Role::Watching => 1,
    }
}

pub(crate) fn role(code: u8) -> Result<Role, DecodeError> {
    match code {
        0 => Ok(Role::Holding),
        1 => Ok(Role::Watching),
        _ => Err(DecodeError::out_of_range("role", code.into())),
    }
}

pub(crate) const fn reject_code(reason: RejectReason) -> u64 {
    match reason {
        RejectReason::Absent => 0,
        RejectReason::OtherContent => 1,
        RejectReason::TooLate => 2,
        RejectReason::Busy => 3,
        RejectReason::Policy => 4,
    }
}

/// A later reason counts as the one after which the requester looks elsewhere.
pub(crate) const fn reject_reason(code: u64) -> RejectReason {
    match code {
        1 => RejectReason::OtherContent,
        2 => RejectReason::TooLate,
        3 => RejectReason::Busy,
        4 => RejectReason::Policy,
        _ => RejectReason::Absent,
    }
}

pub(crate) const fn goodbye_code(reason: GoodbyeReason) -> u64 {
    match reason {
        GoodbyeReason::Leaving => 0,
        GoodbyeReason::Policy => 1,
        GoodbyeReason::Full => 2,
        GoodbyeReason::Violation => 3,
        GoodbyeReason::Corruption => 4,
        GoodbyeReason::Duplicate => 5,
        GoodbyeReason::Version => 6,
        GoodbyeReason::Useless => 7,
    }
}

/// A later reason counts as the one that says nothing.
pub(crate) const fn goodbye_reason(code: u64) -> GoodbyeReason {
    match code {
        1 => GoodbyeReason::Policy,
        2 => GoodbyeReason::Full,
        3 => GoodbyeReason::Violation,
        4 => GoodbyeReason::Corruption,
        5 => GoodbyeReason::Duplicate,
        6 => GoodbyeReason::Version,
        7 => GoodbyeReason::Useless,
        _ => GoodbyeReason::Leaving,
    }
}
