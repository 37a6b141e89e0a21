//! Recorded usage that is not what the messages add up to: the line about it, for imquotacheck --check, reconstruct -q and iminitquota.

use serde_json::json;

use super::ui::Ui;
use crate::ops::quotacheck::recount::Difference;

/// Prints a difference.
pub(super) fn tell(ui: &mut Ui, as_json: bool, difference: &Difference) {
    let Difference { place, recorded, derived } = difference;
    ui.line(if as_json {
        json!({
            "v": 1,
            "place": place,
            "recorded_bytes": recorded.bytes,
            "recorded_messages": recorded.messages,
            "derived_bytes": derived.bytes,
            "derived_messages": derived.messages,
        })
        .to_string()
    } else {
        format!(
            "{place}: {} bytes, {} messages are recorded; the messages are {} bytes, {} messages",
            recorded.bytes, recorded.messages, derived.bytes, derived.messages
        )
    });
}
