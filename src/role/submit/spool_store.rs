//! The spool as the place where messages go.
use super::compose::Envelope;
use super::store::{Draft, Store, StoreFault};
use std::path::Path;
pub(super) struct SpoolStore;
pub(super) struct SpoolDraft;
impl SpoolStore {
    pub(super) fn open(_directory: &Path) -> Result<Self, StoreFault> {
        Err(StoreFault::Temporary("no spool".into()))
    }
}
impl Store for SpoolStore {
    type Draft = SpoolDraft;
    fn create(&self) -> Result<SpoolDraft, StoreFault> {
        Ok(SpoolDraft)
    }
    fn commit(&self, _: Vec<SpoolDraft>, _: &mut dyn FnMut(&str)) -> Result<(), StoreFault> {
        Ok(())
    }
    fn request_forward(&self) {}
}
impl Draft for SpoolDraft {
    fn content_name(&self) -> String {
        String::new()
    }
    fn append(&mut self, _: &[u8]) -> Result<(), StoreFault> {
        Ok(())
    }
    fn write_envelope(&mut self, _: &Envelope) -> Result<(), StoreFault> {
        Ok(())
    }
}
