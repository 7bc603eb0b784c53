/* Its constructor and its destructor wait. */
extern void eventlet_sleep(double);
extern void during(const char *);

__attribute__((constructor)) static void comes(void) {
    during("comes");
    eventlet_sleep(0.002);
    during("is there");
}
__attribute__((destructor)) static void goes(void) {
    during("goes");
    eventlet_sleep(0.002);
    during("is gone");
}
