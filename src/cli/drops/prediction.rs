//! The drop rate that queueing arithmetic predicts.
//!
//! # Derivation
//! The run is taken as the fluid approximation of a finite queue with deterministic arrivals and
//! service, D/D/1/K: messages are a liquid, and chance has no part in it.
//!
//! - `P` rings, each holding `K` messages: its capacity over the mean ring space of the messages
//!   that got through. The message in service counts, since it is acked after it.
//! - `L` messages are offered, evenly over the time `T` and over the rings.
//! - One consumer serves `mu` messages a second, whichever ring they come from.
//!
//! While all rings are filling, `mu T` messages leave during `T`, and what arrived and did not leave
//! must fit the rings: at the end they hold `P K` at most. So
//!
//! ```text
//! accepted <= min(L, mu T + P K)        drop rate = max(0, 1 - (mu T + P K) / L)
//! ```
//!
//! with equality if no ring runs dry while another drops. As `T` grows it becomes the well-known
//! `max(0, 1 - mu / lambda)`, in which the ring size has no part: a larger ring delays loss, it does
//! not prevent it.
//!
//! # Which figures
//! `mu = 1 / max(delay, handling)`: the consumer's schedule allows one message per delay, and never
//! more than it can check (`handling`: its own time per message, measured in the run, preemption
//! included). With no delay, handling alone bounds it; the prediction then says whether the drops
//! are what so busy a consumer must cause. `L`, `T` and the mean ring space are the run's too: how
//! fast an unpaced producer is, no arithmetic knows.
//!
//! # Where it fails
//! - Burst and jitter: producers that wake late publish in bursts, so a small ring drops below
//!   saturation, where the prediction is 0. It is a lower bound there.
//! - Uneven producers: on fewer processors than threads they take turns, and one's ring drops while
//!   another's is empty.
//! - A full ring lets small messages in first. Counting messages, not bytes, hides that.

/// What a run asked of its queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Messages offered by all producers.
    pub(super) offered_messages: f64,
    /// For how long they were offered.
    pub(super) publishing_seconds: f64,
    /// The consumer's time per message; 0 serves without limit.
    pub(super) service_seconds: f64,
    /// Messages that all rings hold together.
    pub(super) buffered_messages: f64,
}

/// Dropped over offered, between 0 and 1.
pub(super) fn drop_rate(load: Load) -> f64 {
    if load.offered_messages <= 0.0 || load.service_seconds <= 0.0 {
        return 0.0;
    }
    let served = load.publishing_seconds / load.service_seconds;
    let accepted = served + load.buffered_messages;
    (1.0 - accepted / load.offered_messages).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        offered_messages: 10_000.0,
        publishing_seconds: 1.0,
        service_seconds: 1e-3,
        buffered_messages: 0.0,
    };

    fn assert_near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-12, "{found}, not {wanted}");
    }

    #[test]
    fn without_buffers_the_loss_is_one_less_the_ratio_of_the_rates() {
        assert_near(drop_rate(LOAD), 0.9);
    }

    #[test]
    fn what_the_rings_hold_at_the_end_is_not_lost() {
        let buffered_messages = 4000.0;
        let load = Load {
            buffered_messages,
            ..LOAD
        };
        assert_near(drop_rate(load), 0.5);
    }

    #[test]
    fn a_longer_run_makes_the_buffers_matter_less() {
        let load = |times: f64| Load {
            offered_messages: times * LOAD.offered_messages,
            publishing_seconds: times,
            buffered_messages: 4000.0,
            ..LOAD
        };
        assert!(drop_rate(load(1.0)) < drop_rate(load(10.0)));
        assert!((drop_rate(load(1e6)) - 0.9).abs() < 1e-6);
    }

    #[test]
    fn a_consumer_that_keeps_up_loses_nothing() {
        let load = Load {
            service_seconds: 1e-4,
            ..LOAD
        };
        assert_near(drop_rate(load), 0.0);
    }

    #[test]
    fn no_load_and_no_service_time_lose_nothing() {
        let idle = Load {
            offered_messages: 0.0,
            ..LOAD
        };
        let instant = Load {
            service_seconds: 0.0,
            ..LOAD
        };
        assert_near(drop_rate(idle), 0.0);
        assert_near(drop_rate(instant), 0.0);
    }
}
