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

async function refresh(version) {
  if (verifying || Number(main.dataset.version) === version) return;
  const answer = await fetch(location.href, {headers: {accept: "text/html"}});
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement && document.activeElement.id;
  const open = [...main.querySelectorAll("details")].map((details) => details.open);
  const checks = document.getElementById("checks");
  const before = new Set([...main.querySelectorAll("tbody tr")].map((row) => row.textContent));
  const made = page.getElementById("main");
  main.replaceChildren(...made.childNodes);
  main.dataset.version = made.dataset.version;
  status.replaceChildren(...page.getElementById("status").childNodes);
  [...main.querySelectorAll("details")].forEach((details, i) => { details.open = open[i] ?? false; });
  for (const row of main.querySelectorAll("tbody tr")) if (before.size && !before.has(row.textContent)) row.classList.add("fresh");
  const empty = document.getElementById("checks");
  if (checks && empty) empty.replaceWith(checks);
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus({preventScroll: true});
  tellTime();
  askReach();
}

function follow() {
  const stream = new EventSource("/live");
  stream.addEventListener("version", (event) => refresh(Number(event.data)).catch(() => {}));
  stream.addEventListener("error", () => status.classList.add("no"));
  stream.addEventListener("open", () => status.classList.remove("no"));
  addEventListener("pagehide", () => stream.close());
}

async function askReach() {
  for (const element of document.querySelectorAll("[data-reach]")) {
    if (element.textContent !== "not asked yet") continue;
    element.textContent = "asking …";
    try {
      const answer = await (await fetch(`/reach/${element.dataset.reach}`)).json();
      element.textContent = `${answer.ok ? "✓" : "✗"} ${answer.detail}`;
      element.classList.add(answer.ok ? "yes" : "no");
    } catch {
      element.textContent = "not known";
    }
  }
}

function verify(button) {
  const list = document.getElementById("checks");
  list.replaceChildren();
  verifying = true;
  button.disabled = true;
  const stream = new EventSource(`/round/${button.dataset.round}/verify`);
  const say = (text, good) => {
    const item = document.createElement("li");
    item.textContent = text;
    if (!good) item.className = "bad";
    list.append(item);
  };
  const end = () => { stream.close(); verifying = false; button.disabled = false; };
  stream.addEventListener("check", (event) => {
    const check = JSON.parse(event.data);
    say(`${check.name}: ${check.detail}${check.peer ? ` [${check.peer}]` : ""}`, check.ok);
  });
  stream.addEventListener("done", (event) => {
    const done = JSON.parse(event.data);
    say(done.verified ? `the round is verified, in ${done.seconds} s` : "the round is NOT verified", done.verified);
    end();
  });
  stream.addEventListener("failed", (event) => { say(JSON.parse(event.data).detail, false); end(); });
  stream.addEventListener("error", () => { if (stream.readyState !== EventSource.CLOSED) { say("the connection broke off", false); end(); } });
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
    location.href = "/";
  } else if (link && document.querySelector(link)) {
    location.href = document.querySelector(link).href;
  }
});

const kept = localStorage.getItem("theme");
if (kept) document.documentElement.dataset.theme = kept;
tellTime();
setInterval(tellTime, 1000);
askReach();
follow();
