//! **Here**: who exists, where they live, what they may.
