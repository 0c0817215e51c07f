//! Comparing what was heard with the mix that it was made of.
//!
//! Where a busy machine kept the thread that sends it waiting for longer than its rings hold, silence stands in
//! the place of what was lost. How much is counted, and no more may differ.

/// Whether these are the same, but for at most so many lost samples.
pub fn is_same(heard: &[i16], mix: &[i16], lost: u64) -> bool {
    let mut left = lost;
    heard.len() == mix.len()
        && heard.iter().zip(mix).all(|(heard, mix)| {
            let differs = heard != mix;
            let is_lost = differs && *heard == 0 && left > 0;
            left -= u64::from(is_lost);
            !differs || is_lost
        })
}

/// Whether this stands somewhere in the mix, but for at most so many lost samples.
pub fn is_in(heard: &[i16], mix: &[i16], lost: u64) -> bool {
    // Lost audio is silence: the first sample that is none shows most places to be others.
    let Some(first) = heard.iter().position(|&sample| sample != 0) else {
        return heard.is_empty() || mix.windows(heard.len()).any(|window| window == heard);
    };
    mix.windows(heard.len())
        .filter(|window| window[first] == heard[first])
        .any(|window| window == heard || is_same(heard, window, lost))
}
