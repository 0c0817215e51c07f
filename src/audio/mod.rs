//! Samples and arithmetic, pure.
