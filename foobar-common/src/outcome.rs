//! Why a packet left: the one list of reasons.
//!
//! An [`Outcome`] is the counter's index, the metric's label and the XDP action at once; adding a variant is adding all
//! of them.

/// `Ok` goes on; `Err` means that the packet left here.
pub type Step<T> = Result<T, Outcome>;

/// What the kernel does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// On to this host's network stack.
    Pass,
    Drop,
    /// Out of the interface that it came in by.
    Tx,
    /// Out of another interface.
    Redirect,
}

impl Action {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Tx => "tx",
            Self::Redirect => "redirect",
        }
    }
}

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $action:ident),+ $(,)?) => {
        /// Why a packet left, in the order of the counters. As wide as a register, since the program's machine compares
        /// nothing narrower.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u64)]
        pub enum Outcome { $($(#[doc = $doc])+ $variant),+ }

        impl Outcome {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// `snake_case`, as metrics and JSON say it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// One sentence for people.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+)),+ }
            }

            #[inline(always)]
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action),+ }
            }
        }
    };
}

outcomes! {
    /// Neither IPv4 nor IPv6 (ARP, LLDP, ...).
    NotIp "not_ip" Pass,
    /// A rule allowed it, and it is for this host.
    Allowed "allowed" Pass,
    /// No rule matched; what a network needs to work is not dropped by default.
    Essential "essential" Pass,
    /// No rule matched; it answers what this host opened.
    Reply "reply" Pass,
    /// No rule matched, and the default is to pass.
    DefaultPass "default_pass" Pass,
    /// Sent to a backend out of the interface that it came in by.
    Forwarded "forwarded" Tx,
    /// Sent to a backend out of another interface.
    Redirected "redirected" Redirect,
    /// A rule denied it.
    Denied "denied" Drop,
    /// Over the limit of the rule that allows it.
    Limited "limited" Drop,
    /// No rule matched, and the default is to drop.
    DefaultDrop "default_drop" Drop,
    /// A later fragment whose first was not seen, or was dropped.
    FragmentUnknown "fragment_unknown" Drop,
    /// The frame ends before its headers do.
    Truncated "truncated" Drop,
    /// A header contradicts itself.
    BadHeader "bad_header" Drop,
    /// An address that is never on the wire in this place.
    BadAddress "bad_address" Drop,
    /// More than two VLAN tags.
    TooManyTags "too_many_tags" Drop,
    /// More IPv6 extension headers than are walked.
    TooManyExtensions "too_many_extensions" Drop,
    /// The service has no backend that takes new flows.
    NoBackend "no_backend" Drop,
    /// The way to the backend is not known.
    Unresolved "unresolved" Drop,
    /// For a service, and its backend is this host.
    Here "here" Pass,
    /// Its time to live ended here; its sender was told.
    Expired "expired" Tx,
    /// Its time to live ended here, and its sender was not told.
    ExpiredUntold "expired_untold" Drop,
    /// Too big for the tunnel to its backend; its sender was told.
    TooBig "too_big" Tx,
    /// Too big for the tunnel to its backend, and its sender could not be told.
    TooBigUntold "too_big_untold" Drop,
    /// An echo request to a service's address, which was answered.
    Echoed "echoed" Tx,
    /// No address and port of this host is free for it.
    Exhausted "exhausted" Drop,
    /// It met congestion in a tunnel, and its ends would not hear of it.
    Congested "congested" Drop,
    /// The driver left no room for an outer header.
    NoRoom "no_room" Drop,
    /// The program that goes on with it is not there.
    NoStage "no_stage" Drop,
}

impl Outcome {
    pub const COUNT: usize = Self::ALL.len();

    /// Whether the packet was for a service, or an answer of a backend. None that this host sends is.
    pub const fn is_of_service(self) -> bool {
        use Outcome::{
            Echoed, Exhausted, Expired, ExpiredUntold, Forwarded, Here, NoBackend, NoRoom, Redirected, TooBig,
            TooBigUntold, Unresolved,
        };
        matches!(self, Forwarded | Redirected | Here | Echoed | NoBackend | Unresolved)
            || matches!(self, Expired | ExpiredUntold | TooBig | TooBigUntold | Exhausted | NoRoom)
    }

    /// The counter's index.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn indices_follow_the_list_and_names_are_unique() {
        let names: HashSet<_> = Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
        assert_eq!(names.len(), Outcome::COUNT);
        for (index, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(outcome.index() as usize, index);
        }
    }
}
