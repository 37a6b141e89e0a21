//! Work that blocks (store, directory) away from the runtime: a bounded number of threads, and few passwords at a time.
//!
//! A session travels into its work and back, so it is never on two threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::Semaphore;

/// The bounds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workers {
    store: Arc<Semaphore>,
    passwords: Arc<Semaphore>,
    questions: Arc<Semaphore>,
}

/// The work ended in a bug, with these words: what travelled with it is lost.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub String);

/// What a panic said.
pub fn bug(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("(no words)")
}

/// More threads than this wait for the disk only.
const THREADS: usize = 64;

impl Workers {
    /// At most `limit` pieces of work at a time, and never more than 64.
    pub fn new(limit: usize) -> Workers {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let count = limit.clamp(1, THREADS);
        let bound = |count| Arc::new(Semaphore::new(count));
        Workers { store: bound(count), passwords: bound(cores.min(count)), questions: bound((count / 2).max(1)) }
    }

    /// The most threads that are ever used: each piece of work may need one, and one in whose place it runs.
    pub fn threads(limit: usize) -> usize {
        limit.clamp(1, THREADS) * 2
    }

    /// Runs work of the store.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
        let _permit = self.store.acquire().await.map_err(|error| Lost(error.to_string()))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
            Ok(payload) => Lost(bug(&*payload).to_owned()),
            Err(error) => Lost(error.to_string()),
        })
    }

    /// Runs work of the store that is short as a rule, on this thread: the way to another one and back takes longer than most commands. Where the work
    /// lasts after all, the runtime has put another thread in the place of this one.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn run_here<T>(&self, work: impl FnOnce() -> T) -> Result<T, Lost> {
        let _permit = self.store.acquire().await.map_err(|error| Lost(error.to_string()))?;
        let done = tokio::task::block_in_place(|| catch_unwind(AssertUnwindSafe(work)));
        done.map_err(|payload| Lost(bug(&*payload).to_owned()))
    }

    /// As [`Workers::run_here`], for work that asks the directory: at most half of the threads do that, so that a directory that does not answer leaves the
    /// others to mail that knows its place.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn run_question<T>(&self, work: impl FnOnce() -> T) -> Result<T, Lost> {
        let _one = self.questions.acquire().await.map_err(|error| Lost(error.to_string()))?;
        self.run_here(work).await
    }

    /// Runs work that checks a password: slow, and large in memory.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn run_password<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
        let _one = self.passwords.acquire().await.map_err(|error| Lost(error.to_string()))?;
        self.run(work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn questions_leave_threads_for_other_work() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        runtime.block_on(async {
            let workers = Workers::new(4);
            let (answer, asked) = std::sync::mpsc::channel::<()>();
            let asked = Arc::new(std::sync::Mutex::new(asked));
            // More questions than there are threads, to somebody who does not answer.
            let questions: Vec<_> = (0..6)
                .map(|_| {
                    let (workers, asked) = (workers.clone(), Arc::clone(&asked));
                    tokio::spawn(async move { workers.run_question(|| asked.lock().unwrap().recv().is_ok()).await })
                })
                .collect();
            while workers.questions.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            let other = tokio::time::timeout(std::time::Duration::from_secs(600), workers.run(|| 7)).await;
            drop(answer);
            assert_eq!(other.unwrap().unwrap(), 7);
            for question in questions {
                assert!(!question.await.unwrap().unwrap());
            }
        });
    }

    #[test]
    fn work_is_bounded_and_a_bug_is_told() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let workers = Workers::new(2);
            let begun = std::time::Instant::now();
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let mut tasks = Vec::new();
            for _ in 0..8 {
                let (workers, now, most) = (workers.clone(), now.clone(), most.clone());
                tasks.push(tokio::spawn(async move {
                    workers
                        .run(move || {
                            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            // Until there are two, and a while longer: a third would be seen.
                            while most.load(Ordering::SeqCst) < 2 && begun.elapsed().as_secs() < 60 {
                                std::thread::yield_now();
                            }
                            std::thread::sleep(std::time::Duration::from_millis(5));
                            now.fetch_sub(1, Ordering::SeqCst);
                        })
                        .await
                        .unwrap();
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(most.load(Ordering::SeqCst), 2);
            assert_eq!(workers.run(|| panic!("a {}", "bug")).await.unwrap_err().to_string(), "a bug");
            assert_eq!(workers.run(|| 7).await.unwrap(), 7);
            // The one thread of the runtime is replaced while it is taken: the others go on.
            let (said, heard) = std::sync::mpsc::channel();
            let here = tokio::spawn({
                let workers = workers.clone();
                async move { workers.run_here(move || heard.recv().unwrap()).await.unwrap() }
            });
            tokio::spawn(async move { said.send(8).unwrap() }).await.unwrap();
            assert_eq!(here.await.unwrap(), 8);
            let lost = tokio::spawn(async move { workers.run_here(|| panic!("another {}", "bug")).await });
            assert_eq!(lost.await.unwrap().unwrap_err().to_string(), "another bug");
        });
    }
}
