// A dialog of the browser's own: it keeps the focus inside, and closes by Escape.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface Props {
  title: string;
  /** After it was closed, in whichever way. */
  onClose: () => void;
  /** Work is under way, which must not seem to be called off. */
  isBusy?: boolean;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, isBusy = false, children }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const opener = document.activeElement;
    element.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) {
        opener.focus();
      }
    };
  }, []);
  return (
    <dialog
      ref={element}
      aria-labelledby={heading}
      onClose={onClose}
      onCancel={(event) => {
        if (isBusy) {
          event.preventDefault();
        }
      }}
    >
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}
