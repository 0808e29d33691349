// How fast an execution goes, from what was seen of it in the last minute, and when it will be done at that pace.
const WINDOW = 60000;
const seen = new Map();

export function observe(execution, at) {
  const { percent, slices_done: slices } = execution.progress;
  const samples = seen.get(execution.id) ?? [];
  const last = samples.at(-1);
  if (!last || at > last.at) samples.push({ at, percent, slices, records: execution.records_processed });
  while (samples.length > 2 && at - samples[0].at > WINDOW) samples.shift();
  seen.set(execution.id, samples);
  if (seen.size > 50) seen.delete(seen.keys().next().value);
}

// {records, slices, left}: per second, and the seconds that are left; null where it cannot be told yet
export function paceOf(execution) {
  if (execution.phase !== "running") return { records: null, slices: null, left: null };
  const samples = seen.get(execution.id) ?? [];
  const [first, last] = [samples[0], samples.at(-1)];
  const elapsed = samples.length > 1 ? (last.at - first.at) / 1000 : 0;
  const recent = elapsed >= 4 && last.percent > first.percent;
  const seconds = recent ? elapsed : execution.duration_seconds;
  if (!seconds || seconds < 0.5) return { records: null, slices: null, left: null };
  const start = recent ? first : { percent: 0, slices: 0, records: 0 };
  const end = recent
    ? last
    : {
        percent: execution.progress.percent,
        slices: execution.progress.slices_done,
        records: execution.records_processed,
      };
  const gained = (end.percent - start.percent) / seconds;
  return {
    records: (end.records - start.records) / seconds,
    slices: (end.slices - start.slices) / seconds,
    left: gained > 0 ? (100 - execution.progress.percent) / gained : null,
  };
}
