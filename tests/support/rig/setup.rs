//! How a rig is made.

use super::*;

/// The settings of a [`Rig`].
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub first_block: u64,
    pub rate_hz: u32,
    pub channels: u16,
    pub limiting: Limiting,
    pub delay_ticks: u64,
    pub slots: usize,
    pub rooms_max: usize,
    pub ring_bytes: usize,
    pub block_samples: usize,
    /// Ticks by which shared rooms are behind.
    pub lead_ticks: u64,
}

impl Setup {
    pub fn mono() -> Self {
        Self {
            first_block: 0,
            rate_hz: 8000,
            channels: 1,
            limiting: Limiting::Saturate,
            delay_ticks: 0,
            slots: 8,
            rooms_max: 1,
            ring_bytes: 1 << 16,
            block_samples: BLOCK,
            lead_ticks: 0,
        }
    }

    pub fn stereo() -> Self {
        Self {
            channels: 2,
            ..Self::mono()
        }
    }

    pub fn limited(self) -> Self {
        Self {
            limiting: Limiting::Limiter,
            ..self
        }
    }

    pub fn delay(self, delay_ticks: u64) -> Self {
        Self {
            delay_ticks,
            ..self
        }
    }

    pub fn slots(self, slots: usize) -> Self {
        Self { slots, ..self }
    }

    /// Room for so many rooms, `main` among them.
    pub fn rooms(self, rooms_max: usize) -> Self {
        Self { rooms_max, ..self }
    }

    pub fn ring(self, ring_bytes: usize) -> Self {
        Self { ring_bytes, ..self }
    }

    /// Rooms may be shared: these are so many ticks behind.
    pub fn lead(self, lead_ticks: u64) -> Self {
        Self { lead_ticks, ..self }
    }

    pub fn rig(self) -> Rig {
        let format = Format::new(self.rate_hz, self.channels).unwrap();
        let (pool, consumer) = Pool::builder()
            .slots(self.slots)
            .ring_bytes(self.ring_bytes)
            .build()
            .unwrap();
        let settings = Settings {
            first_block: self.first_block,
            format,
            block_samples: self.block_samples,
            limiting: self.limiting,
            rooms_max: self.rooms_max,
            lead_ticks: self.lead_ticks,
        };
        let mut mixer = Mixer::new(settings, consumer);
        let mut part_rings = None;
        if self.lead_ticks > 0 {
            let (parts, rings) = Parts::new(&settings, self.rooms_max).unwrap();
            mixer = mixer.with_parts(parts);
            part_rings = Some(rings);
        }
        Rig {
            pool,
            mixer,
            part_rings,
            settings,
            delay_ticks: self.delay_ticks,
            next_tick: Arc::new(self.first_block.into()),
            readers: Vec::new(),
            feeds: Vec::new(),
            format,
            accounts: Vec::new(),
            gaps: StreamGaps::new(),
            output: Vec::new(),
            made: 0,
            clipped: 0,
        }
    }
}
