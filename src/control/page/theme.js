// Before the first paint: the colours that were chosen here, or else those of the system. Kept in this browser.
"use strict";
(() => {
  const CHOICES = ["system", "light", "dark"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let choice = "system";
  try {
    const kept = localStorage.getItem("mixpool-theme");
    if (CHOICES.includes(kept)) choice = kept;
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  const apply = () => {
    document.documentElement.dataset.theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
    dispatchEvent(new Event("themechange"));
  };
  apply();
  dark.addEventListener("change", apply);

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      const words = { system: "as the system", light: "light", dark: "dark" };
      button.setAttribute("aria-label", `Colours: ${words[choice]}`);
      button.title = `Colours: ${words[choice]}`;
    };
    label();
    button.addEventListener("click", () => {
      // From the system's to the other one first: a click that changes nothing looks broken.
      const order = dark.matches ? ["system", "light", "dark"] : ["system", "dark", "light"];
      choice = order[(order.indexOf(choice) + 1) % order.length];
      try {
        localStorage.setItem("mixpool-theme", choice);
      } catch {
        // As above.
      }
      apply();
      label();
    });
  });
})();
