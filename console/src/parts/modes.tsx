// The choice of a service mode, each explained.

import { useId } from "preact/hooks";
import { MODES } from "../modes";
import type { Mode } from "../types";

interface Props {
  value: Mode | null;
  current?: Mode;
  onChange: (mode: Mode) => void;
}

export function ModeChoice({ value, current, onChange }: Props) {
  const group = useId();
  return (
    <fieldset class="modes">
      <legend class={current === undefined ? undefined : "only-read"}>Service mode</legend>
      {MODES.map(({ mode, name, takeIt, how, mind }) => (
        <label key={mode} class={`mode ${value === mode ? "chosen" : ""}`}>
          <input
            type="radio"
            name={group}
            checked={value === mode}
            aria-labelledby={`${group}-${mode}-name`}
            aria-describedby={`${group}-${mode}`}
            onChange={() => onChange(mode)}
          />
          <span>
            <b id={`${group}-${mode}-name`}>{name}</b>
            {current === mode && <span class="tag">now</span>}
            <span class="mode-text" id={`${group}-${mode}`}>
              <span>{takeIt}</span>
              <span class="quiet">
                {how} {mind}
              </span>
            </span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
