//! An engine that runs: its threads, and their end.

use std::thread::JoinHandle;

use super::{
    EngineError, Handle, RealtimeRefused, Report, end_watch::EndWatch, mixing::MixerEnd,
    realtime::Granted, report::Ended,
};
use crate::{output::RtpOut, source::Feeders};

/// An engine that mixes. It owns the threads; [`finish`](Self::finish) ends them.
pub struct Running {
    handle: Handle,
    mixer: JoinHandle<MixerEnd>,
    rtp_out: Vec<RtpOut>,
    feeders: Feeders,
    granted: Granted,
}

impl Running {
    pub(super) fn new(
        handle: Handle,
        mixer: JoinHandle<MixerEnd>,
        rtp_out: Vec<RtpOut>,
        feeders: Feeders,
        granted: Granted,
    ) -> Self {
        Self {
            handle,
            mixer,
            rtp_out,
            feeders,
            granted,
        }
    }

    /// For threads that watch and steer it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Requests of the mixer thread that the host refused.
    pub fn realtime_refused(&self) -> &[RealtimeRefused] {
        &self.granted.refused
    }

    /// Opens the files of [`Settings::record`](super::Settings::record) and of the rooms that are
    /// [listed](super::Settings::listed_rooms), in which their mixes are from the first tick on: until now these waited in
    /// memory, which they can do for half a minute. This creates the files, or empties them, so it is the last step of a
    /// start. Nothing is done if there are no such files.
    ///
    /// # Errors
    /// [`EngineError::Recording`]; that file, if it existed, and those of later rooms are then as they were.
    pub fn open_recording(&self) -> Result<(), EngineError> {
        Ok(self.handle.shared().recordings.open_files()?)
    }

    /// Ends the mixer at its next tick, then the sources, then the recordings; then takes stock.
    ///
    /// # Panics
    /// If a thread did: a bug.
    pub fn finish(self) -> Report {
        self.finish_with(|| ())
    }

    /// [`finish`](Self::finish) for an engine with streams that come by other threads: `end_sources` joins these
    /// threads after the mixer has ended. The accounts of their streams are exact then.
    ///
    /// # Panics
    /// If a thread did: a bug.
    pub fn finish_with(self, end_sources: impl FnOnce()) -> Report {
        let Self {
            handle,
            mixer,
            rtp_out,
            feeders,
            granted,
        } = self;
        let shared = handle.shared();
        shared.recordings.end_opener();
        shared.recordings.close();
        shared.stop.request();
        let end_watch = EndWatch::start(handle.clone());
        let mut end = mixer.join().expect("the mixer thread panicked");
        // With the sources at rest the ledger is exact.
        let errors = feeders.join();
        end_sources();
        end.end_all();
        // Before the files of recordings are finished.
        shared.streams.gaps.end();
        let sent: Vec<_> = rtp_out.into_iter().map(RtpOut::finish).collect();
        let recordings = shared.recordings.finish();
        drop(end_watch);
        Report::new(&Ended {
            shared,
            realtime: granted.report,
            mixer: &end,
            recordings: &recordings,
            sent: &sent,
            errors: &errors,
        })
    }
}
