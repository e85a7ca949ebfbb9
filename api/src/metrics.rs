//! HTTP counters, written without locks and read as Prometheus text.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::problem::Code;
use crate::spec::Spec;

/// Upper bounds in microseconds: from a refusal at the edge to a slow commit.
const BOUNDS_US: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000,
];
const STATUSES: [u16; 23] = [
    200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 414, 415, 422, 428, 429,
    500, 503, 504, 0,
];

#[derive(Default)]
struct Route {
    statuses: [AtomicU64; STATUSES.len()],
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// Counters of all routes; the last ones are for requests that match no route.
pub(crate) struct Metrics {
    names: Vec<(&'static str, &'static str)>,
    routes: Vec<Route>,
    codes: Vec<AtomicU64>,
}

impl Metrics {
    /// Counters for these routes.
    pub(crate) fn new(specs: &[&'static Spec]) -> Self {
        let mut names: Vec<_> = specs.iter().map(|spec| (spec.path, spec.verb.as_str())).collect();
        names.push(("unknown", "any"));
        let routes = names.iter().map(|_| Route::default()).collect();
        let codes = Code::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self { names, routes, codes }
    }

    /// Counts one response. A slot beyond the routes stands for a request that matches none.
    pub(crate) fn count(&self, slot: usize, status: u16, code: Option<Code>, took: Duration) {
        let Some(route) = self.routes.get(slot).or(self.routes.last()) else { return };
        let place = STATUSES.iter().position(|known| *known == status);
        let place = place.unwrap_or(STATUSES.len() - 1);
        if let Some(counter) = route.statuses.get(place) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(counter) = route.buckets.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        route.sum_us.fetch_add(us, Ordering::Relaxed);
        if let Some(counter) = code.and_then(|code| self.codes.get(code.slot())) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Prometheus text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let written = self.write(&mut text);
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        out.push_str(
            "# HELP firstcome_http_requests_total Responses by route, method and status.\n",
        );
        out.push_str("# TYPE firstcome_http_requests_total counter\n");
        for ((path, method), route) in self.names.iter().zip(&self.routes) {
            for (status, counter) in STATUSES.iter().zip(&route.statuses) {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 {
                    writeln!(
                        out,
                        "firstcome_http_requests_total{{route=\"{path}\",method=\"{method}\",\
                         status=\"{status}\"}} {count}"
                    )?;
                }
            }
        }
        out.push_str("# HELP firstcome_http_request_seconds Time from request head to response.\n");
        out.push_str("# TYPE firstcome_http_request_seconds histogram\n");
        for ((path, method), route) in self.names.iter().zip(&self.routes) {
            write_histogram(out, &format!("route=\"{path}\",method=\"{method}\""), route)?;
        }
        out.push_str("# HELP firstcome_http_problems_total Problem documents by code.\n");
        out.push_str("# TYPE firstcome_http_problems_total counter\n");
        for (code, counter) in Code::ALL.iter().zip(&self.codes) {
            let count = counter.load(Ordering::Relaxed);
            writeln!(out, "firstcome_http_problems_total{{code=\"{}\"}} {count}", code.as_str())?;
        }
        Ok(())
    }
}

fn write_histogram(out: &mut String, labels: &str, route: &Route) -> std::fmt::Result {
    let counts: Vec<u64> =
        route.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return Ok(());
    }
    let mut sum = 0;
    for (bound, count) in BOUNDS_US.iter().zip(&counts) {
        sum += count;
        let seconds = Duration::from_micros(*bound).as_secs_f64();
        writeln!(out, "firstcome_http_request_seconds_bucket{{{labels},le=\"{seconds}\"}} {sum}")?;
    }
    writeln!(out, "firstcome_http_request_seconds_bucket{{{labels},le=\"+Inf\"}} {total}")?;
    let seconds = Duration::from_micros(route.sum_us.load(Ordering::Relaxed)).as_secs_f64();
    writeln!(out, "firstcome_http_request_seconds_sum{{{labels}}} {seconds}")?;
    writeln!(out, "firstcome_http_request_seconds_count{{{labels}}} {total}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: Spec = Spec { path: "/v1/orders", operation: "create_order", ..Spec::POST };

    #[test]
    fn responses_are_counted_by_route_status_and_code() {
        let metrics = Metrics::new(&[&ORDERS]);
        metrics.count(0, 201, None, Duration::from_micros(300));
        metrics.count(0, 409, Some(Code::SoldOut), Duration::from_millis(3));
        metrics.count(99, 404, Some(Code::NotFound), Duration::from_secs(9));
        let text = metrics.text();
        for line in [
            "firstcome_http_requests_total{route=\"/v1/orders\",method=\"POST\",status=\"201\"} 1",
            "firstcome_http_requests_total{route=\"unknown\",method=\"any\",status=\"404\"} 1",
            "firstcome_http_problems_total{code=\"sold_out\"} 1",
            "firstcome_http_request_seconds_count{route=\"/v1/orders\",method=\"POST\"} 2",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
