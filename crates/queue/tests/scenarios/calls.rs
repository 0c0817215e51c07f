//! The calls that `random` strings together.

use proptest::prelude::*;

use super::model::MESSAGE_MAX;

/// One call. `which` picks among the leases ever made.
#[derive(Debug, Clone)]
pub enum Call {
    Acquire,
    Publish {
        which: usize,
        len: usize,
    },
    /// Committed after a truncation `to` fewer bytes, or abandoned.
    Reserve {
        which: usize,
        len: usize,
        to: Option<usize>,
    },
    CountDrop {
        which: usize,
    },
    Close {
        which: usize,
    },
    Get {
        which: usize,
        ack: bool,
    },
    Batch {
        which: usize,
        max: usize,
        ack: bool,
    },
    Drain {
        which: usize,
        max: usize,
    },
    Arm {
        which: usize,
    },
    Keep {
        which: usize,
    },
    Release {
        which: usize,
    },
    /// A whole pass, or one name.
    Next {
        whole: bool,
    },
    /// In the pool's own epoll.
    Wait,
    /// In the application's epoll, from now on.
    Watch,
}

impl Call {
    pub fn which(&self) -> Option<usize> {
        match *self {
            Call::Acquire | Call::Next { .. } | Call::Wait | Call::Watch => None,
            Call::Publish { which, .. }
            | Call::Reserve { which, .. }
            | Call::CountDrop { which }
            | Call::Close { which }
            | Call::Get { which, .. }
            | Call::Batch { which, .. }
            | Call::Drain { which, .. }
            | Call::Arm { which }
            | Call::Keep { which }
            | Call::Release { which } => Some(which),
        }
    }
}

pub fn calls() -> impl Strategy<Value = Vec<Call>> {
    let which = || 0..8_usize;
    // Small, middling, and around what fits an empty ring.
    let len = || {
        prop_oneof![
            6 => 0..40_usize,
            3 => 500..1500_usize,
            1 => MESSAGE_MAX - 9..MESSAGE_MAX + 3,
        ]
    };
    let max = || prop_oneof![3 => 0..4_usize, 1 => Just(usize::MAX)];
    let call = prop_oneof![
        2 => Just(Call::Acquire),
        8 => (which(), len()).prop_map(|(which, len)| Call::Publish { which, len }),
        3 => (which(), len(), prop::option::of(len()))
            .prop_map(|(which, len, to)| Call::Reserve { which, len, to }),
        1 => which().prop_map(|which| Call::CountDrop { which }),
        1 => which().prop_map(|which| Call::Close { which }),
        3 => (which(), any::<bool>()).prop_map(|(which, ack)| Call::Get { which, ack }),
        3 => (which(), max(), any::<bool>())
            .prop_map(|(which, max, ack)| Call::Batch { which, max, ack }),
        4 => (which(), max()).prop_map(|(which, max)| Call::Drain { which, max }),
        2 => which().prop_map(|which| Call::Arm { which }),
        1 => which().prop_map(|which| Call::Keep { which }),
        2 => which().prop_map(|which| Call::Release { which }),
        4 => any::<bool>().prop_map(|whole| Call::Next { whole }),
        2 => Just(Call::Wait),
        1 => Just(Call::Watch),
    ];
    prop::collection::vec(call, 1..200)
}
