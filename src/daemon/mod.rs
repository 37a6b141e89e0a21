//! **Here**: processes that stay: listener, sessions, workers, stored.
