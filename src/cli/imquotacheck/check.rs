//! `--check`: the recorded usage against the messages.

use std::ops::ControlFlow;

use super::super::exit::Exit;
use super::super::recount;
use super::super::ui::Ui;
use super::{Here, survey_failure};
use crate::ops::quotacheck::recount::differences;
use crate::ops::quotacheck::survey::SurveyError;

/// Compares, and changes nothing.
pub(super) fn check(ui: &mut Ui, here: &Here<'_>) -> anyhow::Result<Exit> {
    let (mut wrong, mut failed, mut users) = (0u64, 0u64, 0u64);
    let surveyed = here.survey(None).each(&mut |userid, found| {
        let account = found.map(|subject| subject.account);
        let looked = account.and_then(|account| match account {
            Some(account) => differences(&here.store, account).map_err(SurveyError::from),
            None => Ok(Vec::new()),
        });
        users += 1;
        match looked {
            Ok(found) => {
                wrong += u64::from(!found.is_empty());
                found.iter().for_each(|difference| recount::tell(ui, here.args.json, difference));
            }
            Err(error) => {
                failed += 1;
                ui.error(format!("{userid}: {error}"));
            }
        }
        if ui.is_broken() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    surveyed.map_err(survey_failure)?;
    here.say(ui, &format!("{users} users, {wrong} with other figures than their messages, {failed} failed"));
    Ok(match (failed, wrong) {
        (0, 0) => Exit::Ok,
        (0, _) => Exit::WouldChange,
        _ => Exit::Incomplete,
    })
}
