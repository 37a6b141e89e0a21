//! **Here**: the only owner of durable mail state.
