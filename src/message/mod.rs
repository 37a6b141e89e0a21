//! **Here**: headers, MIME structure, ENVELOPE, BODYSTRUCTURE, dates, mbox; pure functions over bytes.
