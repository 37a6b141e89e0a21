//! **Here**: what the product does, said once.
