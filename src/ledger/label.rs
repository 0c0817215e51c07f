//! The label of a stream, which may change while it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A stream's label for people, if it has one. Locks for the time of a copy: not for a tick, and not for each
/// packet.
#[derive(Debug, Default)]
pub struct LabelCell(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    label: Option<Arc<str>>,
    by_command: bool,
}

impl LabelCell {
    /// The label that is valid now.
    pub fn get(&self) -> Option<Arc<str>> {
        self.said().label.clone()
    }

    /// Its sender says so. A label that was commanded stays.
    pub fn say(&self, label: Arc<str>) {
        let mut said = self.said();
        if !said.by_command {
            said.label = Some(label);
        }
    }

    /// It is commanded. With none, what the sender says next is valid again.
    pub fn command(&self, label: Option<Arc<str>>) {
        let by_command = label.is_some();
        *self.said() = Said { label, by_command };
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commanded_label_stays_until_it_is_taken_away() {
        let cell = LabelCell::default();
        assert_eq!(cell.get(), None);
        cell.say("sender".into());
        assert_eq!(cell.get().as_deref(), Some("sender"));
        cell.command(Some("desk".into()));
        cell.say("again".into());
        assert_eq!(cell.get().as_deref(), Some("desk"));
        cell.command(None);
        assert_eq!(cell.get(), None);
        cell.say("again".into());
        assert_eq!(cell.get().as_deref(), Some("again"));
    }
}
