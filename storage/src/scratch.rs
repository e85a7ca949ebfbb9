//! A file to look at: reads come from it, writes stay in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::disk::DiskFile;

/// redb's page size, so that most writes replace one block whole.
const BLOCK_BYTES: u64 = 4096;

#[derive(Debug)]
struct Layer {
    len: u64,
    /// Up to here the file below still counts; cutting the file lowers it for good.
    below: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

/// The file below, and what was written over it.
#[derive(Debug)]
pub(crate) struct Scratch {
    file: Arc<dyn DiskFile>,
    layer: Mutex<Layer>,
}

impl Scratch {
    pub(crate) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, layer: Mutex::new(Layer { len, below: len, blocks: BTreeMap::new() }) })
    }

    /// Visits the blocks that a range touches: number, place in the block, place in the range.
    fn blocks(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = offset + u64::try_from(done).ok()?;
            let start = usize::try_from(at % BLOCK_BYTES).ok()?;
            let room = usize::try_from(BLOCK_BYTES).ok()? - start;
            let take = room.min(len - done);
            let step = (at / BLOCK_BYTES, start, done, take);
            done += take;
            (take > 0).then_some(step)
        })
    }

    /// A block as it is now.
    fn block(&self, layer: &Layer, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = layer.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; usize::try_from(BLOCK_BYTES).map_err(io::Error::other)?];
        let start = number * BLOCK_BYTES;
        let below = layer.below.saturating_sub(start).min(BLOCK_BYTES);
        let below = usize::try_from(below).map_err(io::Error::other)?;
        if let Some(part) = block.get_mut(..below).filter(|part| !part.is_empty()) {
            self.file.read_at(start, part)?;
        }
        Ok(block)
    }
}

impl StorageBackend for Scratch {
    fn len(&self) -> io::Result<u64> {
        Ok(self.layer.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let layer = self.layer.lock();
        let end = offset + u64::try_from(out.len()).map_err(io::Error::other)?;
        if end > layer.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, start, done, take) in Self::blocks(offset, out.len()) {
            let block = self.block(&layer, number)?;
            if let (Some(to), Some(from)) =
                (out.get_mut(done..done + take), block.get(start..start + take))
            {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut layer = self.layer.lock();
        if len < layer.len {
            // What lies behind the cut must read as zeros if the file grows again.
            let cut = len / BLOCK_BYTES;
            let mut block = self.block(&layer, cut)?;
            let keep = usize::try_from(len % BLOCK_BYTES).map_err(io::Error::other)?;
            if let Some(tail) = block.get_mut(keep..) {
                tail.fill(0);
            }
            layer.blocks.split_off(&cut);
            layer.blocks.insert(cut, block);
            layer.below = layer.below.min(len);
        }
        layer.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut layer = self.layer.lock();
        for (number, start, done, take) in Self::blocks(offset, data.len()) {
            let mut block = self.block(&layer, number)?;
            if let (Some(to), Some(from)) =
                (block.get_mut(start..start + take), data.get(done..done + take))
            {
                to.copy_from_slice(from);
            }
            layer.blocks.insert(number, block);
        }
        let end = offset + u64::try_from(data.len()).map_err(io::Error::other)?;
        layer.len = layer.len.max(end);
        Ok(())
    }
}
