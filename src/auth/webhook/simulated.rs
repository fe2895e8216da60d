//! The webhook on a simulated thread: the same questions in the same queue, asked by the same client, with tasks in the place
//! of threads. A question is asked at once ([`clock::simulated::blocking`]), and its answer is told when the time is over
//! that the other end took for it.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use super::queue::Waiting;
use super::{Breaker, Events, QuestionThread, QueuedQuestion, Webhook};
use crate::auth::secret::Secret;
use crate::limits;
use crate::net::clock;

/// What has to run for the webhook to be asked.
pub type Task = LocalBoxFuture<'static, ()>;

/// How a task waits.
pub type Sleep = Rc<dyn Fn(Duration) -> LocalBoxFuture<'static, ()>>;

/// What [`Webhook::start`] and [`Events::start`] make, and the tasks in the place of their threads.
pub(in crate::auth) fn start(
    url: &Secret,
    time_max: Duration,
    agent: &ureq::Agent,
    sleep: &Sleep,
) -> (Webhook, Events, Vec<Task>) {
    let questions = Arc::<Waiting<QueuedQuestion>>::default();
    let breaker = Arc::new(Breaker::default());
    let pause = sleep.clone();
    let (events, telling) = Events::simulated(url, time_max, agent, move |time| pause(time));
    let mut tasks: Vec<Task> = vec![Box::pin(telling)];
    for _ in 0..limits::WEBHOOK_IN_FLIGHT_MAX {
        let asker = QuestionThread { url: url.clone(), agent: agent.clone(), breaker: breaker.clone(), time_max };
        let (asked, sleep) = (questions.clone(), sleep.clone());
        tasks.push(Box::pin(async move {
            while let Some((client, question)) = poll_fn(|context| asked.poll_next(context)).await {
                let left = question.deadline.saturating_duration_since(clock::now());
                let (answer, took) = clock::simulated::blocking(question.deadline, || asker.ask(&question));
                sleep(took).await;
                asker.settle(&asked, client, &question, left, answer);
            }
        }));
    }
    (Webhook { questions, answers: std::cell::RefCell::default(), breaker, time_max }, events, tasks)
}
