// {{test}}

#include "../answers.h"

#include <stdio.h>

int main(void) {
  hubgate_text said = greeting(hubgate_text_of("Zoë"));
  if (hubgate_equals(said, "Hello, Zoë!") && is_countable(3) && !is_countable(101)) return 0;
  printf("said \"%s\"\n", said.at);
  return 1;
}
