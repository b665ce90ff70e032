// Live updates, times, copying, theme, reachability and verification. Pages are whole without it.
"use strict";

const main = document.getElementById("main");
const status = document.getElementById("status");
let verifying = false;

function relative(seconds) {
  const distance = Math.abs(seconds);
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (distance >= length) return `${Math.floor(distance / length)} ${unit}`;
  }
  return `${Math.round(distance)} s`;
}

function tellTime() {
  const now = Date.now() / 1000;
  for (const element of document.querySelectorAll("[data-at]")) {
    const past = now - Number(element.dataset.at);
    element.textContent = past >= 0 ? `${relative(past)} ago` : `in ${relative(past)}`;
  }
  for (const element of document.querySelectorAll("[data-until]")) {
    const left = Number(element.dataset.until) - now;
    element.textContent = left >= 0 ? `${Math.floor(left / 60)}:${String(Math.floor(left % 60)).padStart(2, "0")} left` : `${relative(left)} overdue`;
  }
}

// One refresh at a time; what comes meanwhile is caught up with after it.
let refreshing = false;
let newest = -1;

async function refresh(version) {
  newest = Math.max(newest, version);
  if (refreshing || verifying || Number(main.dataset.version) === newest) return;
  refreshing = true;
  try {
    const answer = await fetch(location.href, {headers: {accept: "text/html"}});
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!verifying) replace(page.getElementById("main"), page.getElementById("status"));
  } finally {
    refreshing = false;
  }
  if (newest > Number(main.dataset.version)) setTimeout(() => refresh(newest).catch(() => {}), 1000);
}

/** Put in the new content, keeping what the reader has done: the focus, what is open, how far tables are scrolled, answers, checks. */
function replace(made, line) {
  const focused = document.activeElement && document.activeElement.id;
  const open = [...main.querySelectorAll("details")].map((details) => details.open);
  const scrolled = [...main.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  const answers = new Map([...main.querySelectorAll("[data-ask].told")].map((element) => [element.dataset.ask, element]));
  const checks = document.getElementById("checks");
  const amount = document.getElementById("size");
  const before = new Set([...main.querySelectorAll("tbody tr")].map(fixed));
  main.replaceChildren(...made.childNodes);
  main.dataset.version = made.dataset.version;
  status.replaceChildren(...line.childNodes);
  [...main.querySelectorAll("details")].forEach((details, i) => { details.open = open[i] ?? false; });
  [...main.querySelectorAll(".scroll")].forEach((box, i) => { box.scrollLeft = scrolled[i] ?? 0; });
  for (const element of main.querySelectorAll("[data-ask]")) if (answers.has(element.dataset.ask)) element.replaceWith(answers.get(element.dataset.ask));
  for (const row of main.querySelectorAll("tbody tr")) if (before.size && !before.has(fixed(row))) row.classList.add("fresh");
  if (checks && document.getElementById("checks")) document.getElementById("checks").replaceWith(checks);
  if (amount && document.getElementById("size")) document.getElementById("size").replaceWith(amount);
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus({preventScroll: true});
  tellTime();
  askAside();
}

/** A row's text without what changes by itself. */
function fixed(row) {
  const copy = row.cloneNode(true);
  for (const element of copy.querySelectorAll("time, [data-ask]")) element.remove();
  return copy.textContent;
}

// A browser opens few connections to one server: a page that nobody sees gives its own back.
let stream = null;

function follow() {
  if (document.hidden) {
    if (stream) stream.close();
    stream = null;
  } else if (!stream) {
    stream = new EventSource("/live");
    stream.addEventListener("version", (event) => refresh(Number(event.data)).catch(() => {}));
    stream.addEventListener("error", () => status.classList.add("no"));
    stream.addEventListener("open", () => status.classList.remove("no"));
  }
}

/** What the page could not know at once is asked for aside, four questions at a time. */
async function askAside() {
  const waiting = [...document.querySelectorAll("[data-ask]:not(.told)")];
  for (const element of waiting) element.classList.add("told");
  await Promise.all([0, 1, 2, 3].map(async () => {
    for (let element = waiting.shift(); element; element = waiting.shift()) await askOne(element);
  }));
}

async function askOne(element) {
  element.textContent = "asking …";
  try {
    const answer = await (await fetch(element.dataset.ask)).json();
    const mark = answer.ok === null ? "" : answer.ok ? "✓ " : "✗ ";
    element.textContent = mark + answer.detail;
    if (answer.ok !== null) element.classList.add(answer.ok ? "yes" : "no");
    if (answer.size) document.getElementById("size").textContent = answer.size;
  } catch {
    element.textContent = "not known";
  }
}

function verify(button) {
  const list = document.getElementById("checks");
  list.replaceChildren();
  verifying = true;
  button.disabled = true;
  const told = new EventSource(`/round/${button.dataset.round}/verify`);
  const say = (text, good) => {
    const item = document.createElement("li");
    item.textContent = text;
    if (!good) item.className = "bad";
    list.append(item);
  };
  const end = () => { told.close(); verifying = false; button.disabled = false; };
  told.addEventListener("check", (event) => {
    const check = JSON.parse(event.data);
    say(`${check.name}: ${check.detail}${check.peer ? ` [${check.peer}]` : ""} (${check.seconds.toFixed(2)} s)`, check.ok);
  });
  told.addEventListener("done", (event) => {
    const done = JSON.parse(event.data);
    say(done.verified ? `the round is verified, in ${done.seconds} s` : "the round is NOT verified", done.verified);
    end();
  });
  told.addEventListener("failed", (event) => { say(JSON.parse(event.data).detail, false); end(); });
  told.addEventListener("error", () => { if (told.readyState !== EventSource.CLOSED) { say("the connection broke off", false); end(); } });
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.classList.add("copied");
    setTimeout(() => copy.classList.remove("copied"), 1200);
  }
  if (event.target.id === "verify") verify(event.target);
  if (event.target.id === "theme") {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const link = {"[": "a[rel=prev]", "]": "a[rel=next]"}[event.key];
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("q").focus();
  } else if (event.key === "h") {
    location.assign("/");
  } else if (link && document.querySelector(link)) {
    location.href = document.querySelector(link).href;
  }
});

const kept = localStorage.getItem("theme");
if (kept) document.documentElement.dataset.theme = kept;
tellTime();
setInterval(tellTime, 1000);
askAside();
follow();
document.addEventListener("visibilitychange", follow);
addEventListener("pagehide", () => { if (stream) stream.close(); stream = null; });
addEventListener("pageshow", follow);
