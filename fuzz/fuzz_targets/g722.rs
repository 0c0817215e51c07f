//! G.722: any packets decode or are refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::audio::Codec;

#[path = "../decoder.rs"]
mod decoder;

fuzz_target!(|input: &[u8]| decoder::decode(Codec::G722, input));
