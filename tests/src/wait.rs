//! Deadlines: what a test waits for either comes in good time or fails the test.

use std::time::{Duration, Instant};

/// How long anything may take that happens at once on a machine with nothing else to do. Where compilers and other tests have its processors and its disk,
/// a process may stand still for tens of seconds; and a limit that is not met costs nothing.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The same of what takes its time by itself: starting a gateway with its plugins or a browser, compiling, a script of many steps.
pub const LONG_DEADLINE: Duration = Duration::from_secs(300);

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(10);

/// The output of `future`, which must come before the deadline.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    within(DEADLINE, what, future).await
}

/// The same with this deadline, where something takes longer by its nature.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {limit:?} in vain for {what}"),
    }
}

/// Asks `condition` again and again until it gives something.
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, condition).await
}

/// The same where a gateway first has to compile a component with an interpreter inside, which gives way to everything else.
pub async fn until_compiled<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(LONG_DEADLINE, what, condition).await
}

/// The same as [`until`] with this deadline.
pub async fn until_within<T>(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(output) = condition().await {
            return output;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        pause().await;
    }
}

/// What `look` gives once it gives the same for a while.
pub async fn settled<T: PartialEq>(what: &str, mut look: impl AsyncFnMut() -> T) -> T {
    const LOOKS: usize = 25;
    let (mut last, mut same) = (look().await, 0);
    let looks = async || {
        let next = look().await;
        same = if next == last { same + 1 } else { 0 };
        last = next;
        (same == LOOKS).then_some(())
    };
    until(&format!("{what} to come to rest"), looks).await;
    last
}

/// Between two looks at a condition.
pub async fn pause() {
    tokio::time::sleep(PERIOD).await;
}

/// Lets a time pass that the rule under test is about.
pub async fn let_pass(time: Duration) {
    tokio::time::sleep(time).await;
}
