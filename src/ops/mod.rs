//! **Here**: what the product does, said once.

pub mod store;
