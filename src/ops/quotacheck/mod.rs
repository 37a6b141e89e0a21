//! **Here**: what imquotacheck does: who has how much of the quota (`survey`), who is told of it when (`rules`, `threshold`) and how
//! (`template`, `method`, `notice`), which domains have too much (`domains`).
//! **Not here**: what a quota is and how it is enforced (`ops::quota`, `store`); columns, options, exit codes (`cli::imquotacheck`).
//! **Start**: [`survey::Survey::each`] for reports, [`threshold::next`] for the algorithm, [`notice::Notifier::go_on`] for one user.
//! **Rules**: no snapshot is open while a visitor runs; a notice is delivered before it is recorded, so that a killed run tells a user twice rather
//! than not at all.
//! **Sources**: AdminRef 2005Q4 and 6.3 imquotacheck; decisions in docs/tools/imquotacheck.md.

pub mod domains;
pub mod method;
pub mod notice;
pub mod recount;
pub mod rules;
pub mod survey;
pub mod template;
pub mod threshold;
