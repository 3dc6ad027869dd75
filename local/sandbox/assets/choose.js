// Keeps the choice and the name of a new account in step: typing chooses "create", another choice empties the name.
const choice = document.querySelector("#new-account");
const name = document.querySelector("[name=new_account]");

name.addEventListener("input", () => { choice.checked = true; });
name.addEventListener("focus", () => { choice.checked = true; });
document.querySelector("fieldset").addEventListener("change", (event) => {
  if (event.target.type !== "radio") return;
  if (event.target === choice) name.focus();
  else name.value = "";
});
