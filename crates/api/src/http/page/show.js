// What nodes tell, on the page.
const SLOTS = 16384, FEED = 100, LOAD_MEMBERS = 32, SILENT_MS = 30000, RTT_MEMBERS = 8, RTT_MS = 10000;
let runs = [], colours = new Map(), before = new Map(), silent = new Map(), rttAt = 0;

const make = (tag, text = "", className = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
};
const swatch = holder => {
  const mark = make("span", "", "swatch");
  if (colours.has(holder)) mark.style.background = colours.get(holder);
  return mark;
};
const bytes = count => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${count.toFixed(unit && count < 100 ? 1 : 0)} ${units[unit]}`;
};
const span = seconds => seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.floor(seconds / 60)} min`
  : seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} days`;
const short = seconds => !Number.isFinite(seconds) ? "–" : seconds < 1e-3 ? `${Math.round(seconds * 1e6)} µs`
  : seconds < 1 ? `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(1)} s`;

// Colours far apart, the same for a name as long as the set of names stays the same.
function colour(names) {
  const tone = getComputedStyle(document.documentElement).getPropertyValue("--tone");
  colours = new Map([...new Set(names)].sort().map((name, i) => [name, `hsl(${(18 + i * 137.508) % 360} 62% ${tone})`]));
}

function show(status, members, slots) {
  runs = slots.runs;
  colour([...members.map(member => member.name), ...runs.map(run => run.holder).filter(holder => holder !== null)]);
  showStatus(status);
  showMembers(members);
  showSlots();
  showMoving(status.moving);
  at("lost").textContent = slots.lost > 0 ? `${slots.lost} slots lost in crashes since these nodes started.` : "";
}

function showStatus(status) {
  document.title = `${status.name} · boato`;
  at("name").textContent = status.name;
  at("ready").textContent = status.ready ? "ready" : `not ready: ${status.reason ?? "unknown"}`;
  at("ready").className = status.ready ? "ready" : "unready";
  const limit = status.max_memory === null ? "" : ` of ${bytes(status.max_memory)}`;
  at("facts").textContent = `cluster ${status.cluster} · ${status.entries.toLocaleString("en")} entries, `
    + `${bytes(status.bytes)}${limit} · up ${span(status.uptime_s)}`;
  const away = base !== location.origin;
  at("moved").hidden = !away;
  if (away) at("moved").textContent = `The node that this page came from is out of reach: this is what ${status.name} tells. Keys cannot be changed here.`;
}

function showMoving(move) {
  const give = move?.slots_to_give > 0 ? `${move.slots_to_give} slots, ${bytes(move.bytes_to_give)} to give` : "";
  const take = move?.slots_to_take > 0 ? `${move.slots_to_take} slots to take` : "";
  const left = move?.seconds_left == null ? "" : `${span(move.seconds_left)} left`;
  at("moving").textContent = [give, take, left].filter(Boolean).join(", ");
}

const figure = text => make("td", text, "number figures");

function showMembers(members) {
  members.sort((a, b) => a.name < b.name ? -1 : 1);
  at("members").replaceChildren(...members.map(member => {
    const row = make("tr"), name = make("td", member.name), http = make("td", "", "figures");
    name.prepend(swatch(member.name));
    if (member.http) {
      const link = make("a", member.http);
      link.href = `${location.protocol}//${member.http}/_/`;
      http.append(link);
    }
    row.append(name, make("td", member.state, member.state), figure(member.load ? String(member.load.slots) : "–"),
      figure(member.load ? bytes(member.load.bytes) : "–"), figure(String(member.weight)), http,
      make("td", member.version, "figures"));
    return row;
  }));
}

function showSlots() {
  const canvas = at("map"), side = canvas.width, draw = canvas.getContext("2d"), held = new Map();
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  draw.clearRect(0, 0, side, side);
  for (const run of runs) {
    held.set(run.holder, (held.get(run.holder) ?? 0) + run.to - run.from + 1);
    if (run.holder === null) continue;
    // Slots on the move stand out.
    draw.fillStyle = run.state === "held" ? colours.get(run.holder) : ink;
    for (let slot = run.from; slot <= run.to;) {
      const left = slot % side, width = Math.min(side - left, run.to - slot + 1);
      draw.fillRect(left, Math.floor(slot / side), width, 1);
      slot += width;
    }
  }
  at("legend").replaceChildren(...[...held].sort((a, b) => b[1] - a[1]).map(([holder, count]) => {
    const item = make("li");
    item.append(swatch(holder), make("span", holder ?? "nobody known"),
      make("span", `${count} (${(100 * count / SLOTS).toFixed(1)} %)`, "figures soft"));
    return item;
  }));
}

at("map").addEventListener("pointermove", event => {
  const area = event.target.getBoundingClientRect(), side = event.target.width;
  const cell = (offset, size) => Math.min(side - 1, Math.max(0, Math.floor(offset / size * side)));
  const slot = cell(event.clientY - area.top, area.height) * side + cell(event.clientX - area.left, area.width);
  const run = runs.find(run => run.from <= slot && slot <= run.to);
  at("pointed").textContent = run ? `slot ${slot}: ${run.holder ?? "nobody known"}, ${run.state}` : "";
});

// A quantile from the growth of the doors' histograms, which have the same bounds, summed over methods.
function quantile(now, past, share) {
  const counts = new Map();
  for (const [name, value] of now) {
    const bound = /^boato_(?:http_request|resp_command)_duration_seconds_bucket\{le="([^"]+)"/.exec(name);
    if (bound) counts.set(bound[1], (counts.get(bound[1]) ?? 0) + value - (past.get(name) ?? 0));
  }
  const total = counts.get("+Inf") ?? 0;
  if (total === 0) return NaN;
  const bounds = [...counts].sort((a, b) => (a[0] === "+Inf") - (b[0] === "+Inf") || a[0] - b[0]);
  return Number(bounds.find(([, count]) => count >= share * total)[0]);
}

function loadRow(member, now, past, seconds) {
  const grown = name => (now.get(name) ?? 0) - (past.get(name) ?? 0), sum = names => names.reduce((all, name) => all + grown(name), 0);
  const here = 'boato_operations_total{holder="self"}', away = 'boato_operations_total{holder="other"}';
  const hit = 'boato_reads_total{outcome="hit"}', miss = 'boato_reads_total{outcome="miss"}';
  const percent = (part, whole) => whole > 0 ? `${(100 * part / whole).toFixed(0)} %` : "–";
  const operations = sum([here, away]), row = make("tr"), name = make("td", member.name), memory = make("td", "", "figures");
  name.prepend(swatch(member.name));
  const used = now.get("boato_entries_bytes") ?? 0, limit = now.get("boato_memory_limit_bytes") ?? 0;
  if (limit > 0) {
    const bar = make("span", "", "bar"), fill = make("i");
    fill.style.width = `${Math.min(100, 100 * used / limit)}%`;
    bar.append(fill);
    memory.append(bar);
  }
  memory.append(limit > 0 ? `${bytes(used)} of ${bytes(limit)}` : bytes(used));
  const clients = (now.get("boato_http_connections") ?? 0) + (now.get("boato_resp_connections") ?? 0);
  row.append(name, figure(Math.round(operations / seconds).toLocaleString("en")), figure(percent(grown(away), operations)),
    figure(percent(grown(hit), sum([hit, miss]))), figure(short(quantile(now, past, 0.5))), figure(short(quantile(now, past, 0.99))),
    figure(String(clients)), memory);
  return row;
}

async function showLoad(members) {
  const alive = members.filter(member => member.state === "alive" && member.http), shown = alive.slice(0, LOAD_MEMBERS);
  const rows = await Promise.all(shown.map(async member => {
    try {
      // One that did not answer is left alone for a while.
      if (performance.now() - (silent.get(member.id) ?? -SILENT_MS) < SILENT_MS) throw new Error("silent");
      silent.delete(member.id);
      const origin = `http://${member.http}`;
      const response = await ask("/_/metrics", origin);
      const now = metrics(await response.text()), time = performance.now(), past = before.get(member.id);
      before.set(member.id, { now, time });
      return past ? loadRow(member, now, past.now, (time - past.time) / 1000) : loadRow(member, now, now, 1);
    } catch {
      if (!silent.has(member.id)) silent.set(member.id, performance.now());
      const row = make("tr");
      row.append(make("td", member.name), Object.assign(make("td", "out of this browser's reach", "soft"), { colSpan: 7 }));
      return row;
    }
  }));
  if (alive.length > shown.length) {
    const row = make("tr");
    row.append(Object.assign(make("td", `and ${alive.length - shown.length} more; Prometheus watches any number`, "soft"), { colSpan: 8 }));
    rows.push(row);
  }
  at("load").replaceChildren(...rows);
}

// How far members are from each other, as their coordinates say.
async function showRoundTrips(members) {
  if (performance.now() - rttAt < RTT_MS && rttAt > 0) return;
  rttAt = performance.now();
  const names = members.filter(member => member.state === "alive").map(member => member.name).sort().slice(0, RTT_MEMBERS);
  const pairs = names.flatMap((from, i) => names.slice(i + 1).map(to => [from, to]));
  const found = new Map(await Promise.all(pairs.map(async ([from, to]) => {
    const answer = await json(`/_/rtt?from=${encodeURIComponent(from)}&to=${encodeURIComponent(to)}`).catch(() => null);
    return [`${from} ${to}`, answer?.rtt_s ?? NaN];
  })));
  const head = make("tr");
  head.append(make("td"), ...names.map(name => Object.assign(make("th", name, "number"), { scope: "col" })));
  at("rtt").replaceChildren(head, ...names.map(from => {
    const row = make("tr");
    row.append(Object.assign(make("th", from), { scope: "row" }),
      ...names.map(to => figure(from === to ? "" : short(found.get(`${from} ${to}`) ?? found.get(`${to} ${from}`)))));
    return row;
  }));
}

function showEvent(kind, data) {
  const item = make("li"), time = make("time", new Date().toLocaleTimeString());
  const { name, ...rest } = data ?? {};
  const particulars = Object.entries(rest).filter(([key]) => key !== "id").map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  item.append(time, make("span", [kind.replaceAll("_", " "), name, ...particulars].filter(Boolean).join(" · ")));
  at("feed").prepend(item);
  while (at("feed").children.length > FEED) at("feed").lastChild.remove();
}
