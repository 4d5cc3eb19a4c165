//! Work of filters that takes effect when the whole chain has been passed, and can be taken back until the message is accepted.

use std::fmt;

/// Work of a filter that takes effect only when the whole chain has been passed, so that a message refused by a later
/// filter leaves nothing behind. Dropped without [`Prepared::apply`] it undoes itself.
pub trait Prepared: Send + fmt::Debug {
    /// Makes it durable and visible. Blocking.
    ///
    /// # Errors
    /// The reason; nothing of it is left, and the message is refused for now.
    fn apply(self: Box<Self>) -> Result<Undo, String>;
}

/// What takes applied work back when its message is not accepted after all, and removed: its client will send it again. Dropped, it lets the
/// work stand, as it must for a message that stays in the queue: that has given up the recipients that the work is about.
#[derive(Default)]
#[must_use]
pub struct Undo(Vec<Box<dyn FnOnce() + Send>>);

impl Undo {
    /// Nothing that could be taken back.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One step.
    pub fn by(step: impl FnOnce() + Send + 'static) -> Self {
        Self(vec![Box::new(step)])
    }

    /// Takes everything back, the last step first. Blocking. What somebody has taken up meanwhile stays.
    pub fn run(self) {
        self.0.into_iter().rev().for_each(|step| step());
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Undo({} steps)", self.0.len())
    }
}

/// Applies one after the other until one cannot be, and tells why; what has been applied until then can be taken back. Blocking.
pub fn apply_all(prepared: Vec<Box<dyn Prepared>>) -> (Undo, Result<(), String>) {
    let mut undo = Undo::nothing();
    let done = prepared.into_iter().try_for_each(|work| {
        undo.0.extend(work.apply()?.0);
        Ok(())
    });
    (undo, done)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug)]
    struct Work(&'static str, Arc<Mutex<Vec<String>>>);

    impl Prepared for Work {
        fn apply(self: Box<Self>) -> Result<Undo, String> {
            let Self(name, log) = *self;
            if name == "bad" {
                return Err(name.to_owned());
            }
            log.lock().unwrap().push(name.to_owned());
            Ok(Undo::by(move || log.lock().unwrap().push(format!("not {name}"))))
        }
    }

    fn apply(names: &[&'static str]) -> (Undo, Result<(), String>, Arc<Mutex<Vec<String>>>) {
        let log = Arc::<Mutex<Vec<String>>>::default();
        let work = names.iter().map(|name| Box::new(Work(name, Arc::clone(&log))) as Box<dyn Prepared>);
        let (undo, done) = apply_all(work.collect());
        (undo, done, log)
    }

    #[test]
    fn work_stands_unless_it_is_taken_back() {
        let (undo, done, log) = apply(&["a", "b"]);
        assert_eq!((done, undo.0.len()), (Ok(()), 2));
        drop(undo);
        assert_eq!(*log.lock().unwrap(), ["a", "b"]);
    }

    #[test]
    fn what_was_done_before_a_failure_can_be_taken_back() {
        let (undo, done, log) = apply(&["a", "b", "bad", "c"]);
        assert_eq!(done, Err("bad".to_owned()));
        undo.run();
        assert_eq!(*log.lock().unwrap(), ["a", "b", "not b", "not a"]);
    }
}
