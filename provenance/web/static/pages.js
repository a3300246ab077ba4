// Conveniences only: every page works without this file.
"use strict";

// A button says that it is at work, and does not take a second press.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button");
    button.textContent = button.dataset.busy;
    button.setAttribute("aria-busy", "true");
    setTimeout(() => { button.disabled = true; }, 0);
  });
}

// Somebody who asked for a verification is led to its result.
const verified = document.getElementById("verified");
if (verified) verified.focus();

// A verification that runs shows how far it is, and its result when it is there.
const running = document.getElementById("running");
if (running) {
  const look = async () => {
    const answer = await fetch(running.dataset.progress);
    const job = await answer.json();
    document.getElementById("step").textContent = job.step;
    document.getElementById("bar").value = job.percent;
    if (job.done) location.reload();
    else setTimeout(look, 400);
  };
  look();
}
